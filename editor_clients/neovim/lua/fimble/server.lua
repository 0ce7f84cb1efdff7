--- The server's life: found, started, attached to buffers, started again when it dies.
---
--- init ▶ **server** ▶ {program, status, restarts}. One process serves all buffers: it holds the model.

local program = require("fimble.program")
local restarts = require("fimble.restarts")

local api, lsp = vim.api, vim.lsp

local M = {}

local NAME = "fimble"
local TOGGLE = "fimble.toggle"
local MOST_LINES = 500 -- of the log

---@class fimble.Listeners
---@field grown fun(token: any, value: table)  a part of an answer has come
---@field attached fun(client: vim.lsp.Client, buf: integer)
---@field gone fun()  the process has ended

---@class fimble.Server
---@field enabled boolean  whether the user wants completions
---@field status fimble.Status
---@field log string[]  what happened, for `:Fimble log`
---@field options fimble.Options
---@field private listeners fimble.Listeners
---@field private restarts fimble.Restarts
---@field private id integer?  of the client that runs
---@field private halted boolean  it is not to be started, or not yet
local Server = {}
Server.__index = Server

---@param options fimble.Options
---@param listeners fimble.Listeners
---@return fimble.Server
function M.new(options, listeners)
  return setmetatable({
    enabled = true,
    status = { state = "stopped" },
    log = {},
    options = options,
    listeners = listeners,
    restarts = restarts.new(),
    halted = false,
  }, Server)
end

---@return vim.lsp.Client?
function Server:client()
  local client = self.id and lsp.get_client_by_id(self.id)
  return client and not client:is_stopped() and client or nil
end

--- The client if it can be asked about `buf`.
---@param buf integer
---@return vim.lsp.Client?
function Server:client_of(buf)
  local client = self:client()
  return client and client.initialized and client.attached_buffers[buf] and client or nil
end

--- Have `buf` completed, if it is one that should be; starts the server for the first one.
---@param buf integer
function Server:attach(buf)
  if self.halted or not self:eligible(buf) then
    return
  end
  local client = self:client()
  if client then
    if not client.attached_buffers[buf] then
      lsp.buf_attach_client(buf, client.id)
    end
  else
    self:start(buf)
  end
end

--- Have all buffers completed that should be.
function Server:attach_all()
  for _, buf in ipairs(api.nvim_list_bufs()) do
    if api.nvim_buf_is_loaded(buf) then
      self:attach(buf)
    end
  end
end

--- Use other options from now on.
---@param options fimble.Options
function Server:configure(options)
  local cmd = self.options.cmd
  self.options = options
  if not vim.deep_equal(cmd, options.cmd) then
    self:restart()
    return
  end
  self:send_settings()
  self:attach_all()
end

--- Change one of the server's settings while it runs.
---@param name string
---@param value any  nil takes it back
function Server:set(name, value)
  self.options.settings = vim.tbl_extend("force", self.options.settings, { [name] = value })
  if value == nil then
    self.options.settings[name] = nil
  end
  self:send_settings()
end

--- Switch completions off, or on again.
function Server:toggle()
  self.enabled = not self.enabled
  local client = self:client()
  if client and client.initialized then
    client:exec_cmd({ title = "Toggle", command = TOGGLE })
  else
    self:tell(("completions are %s"):format(self.enabled and "on" or "off"))
  end
end

--- End the server, and start it anew for the buffers that are open.
function Server:restart()
  self.restarts:forget()
  self:stop(function()
    self.halted = false
    self:attach_all()
  end)
end

--- End the server for good; `after` is called when it has gone.
---@param after fun()?
function Server:stop(after)
  local client = self:client()
  self.halted = true
  self.id = nil -- whatever becomes of it now is no accident
  self:become({ state = "stopped" })
  self.listeners.gone()
  if not client then
    if after then
      after()
    end
    return
  end
  client:stop()
  local patience = assert(vim.uv.new_timer())
  local waited = 0
  patience:start(
    20,
    20,
    vim.schedule_wrap(function()
      waited = waited + 20
      if patience:is_closing() or not (client:is_stopped() or waited > 3000) then
        return
      end
      patience:close()
      if not client:is_stopped() then
        client:stop(true)
      end
      if after then
        after()
      end
    end)
  )
end

--- Tell the user something.
---@param message string
---@param level integer?
function Server:tell(message, level)
  message = "fimble: " .. message:gsub("^fimble: ", "")
  self:note(message)
  local function notify()
    vim.notify(message, level or vim.log.levels.INFO)
  end
  if vim.v.vim_did_enter == 1 then
    notify()
  else
    api.nvim_create_autocmd("VimEnter", { once = true, callback = vim.schedule_wrap(notify) })
  end
end

---@private
---@param buf integer
---@return boolean
function Server:eligible(buf)
  return api.nvim_buf_is_valid(buf)
    and vim.bo[buf].buftype == ""
    and vim.bo[buf].buflisted
    and vim.bo[buf].modifiable
    and api.nvim_buf_get_name(buf) ~= ""
    and self.options.enabled(buf)
end

---@private
---@param buf integer
function Server:start(buf)
  local command = program.resolve(self.options.cmd)
  if not command then
    local name = self.options.cmd[1]
    self.halted = true
    self:become({ state = "error", message = ("no command `%s`"):format(name) })
    -- Short: what does not fit beside the ruler has to be confirmed before Neovim can be used.
    self:tell(("no command `%s`: see :checkhealth fimble"):format(name), vim.log.levels.WARN)
    return
  end
  self:become({ state = "starting" })
  self.id = lsp.start(self:config(buf, command), { bufnr = buf, attach = true, silent = true })
  if not self.id then
    self.halted = true
    self:become({ state = "error", message = "the server cannot be started" })
    self:tell("the server cannot be started (:Fimble log)", vim.log.levels.ERROR)
  else
    self:attach_all()
  end
end

---@private
---@param buf integer  the first one that is to be attached
---@param command string[]
---@return vim.lsp.ClientConfig
function Server:config(buf, command)
  local capabilities = vim.tbl_deep_extend("force", lsp.protocol.make_client_capabilities(), {
    textDocument = { inlineCompletion = { dynamicRegistration = false } },
    experimental = { fimbleStatus = true },
  })
  local code, signal = 0, 0
  return {
    name = NAME,
    cmd = function(dispatchers)
      local on_exit = dispatchers.on_exit
      dispatchers.on_exit = function(...)
        code, signal = ...
        on_exit(0, 0) -- else Neovim says that it has ended too, and two messages have to be confirmed
      end
      return lsp.rpc.start(command, dispatchers, { cwd = program.folder() })
    end,
    root_dir = vim.fs.root(buf, self.options.root_markers) or vim.fn.getcwd(),
    capabilities = capabilities,
    settings = { [NAME] = self:settings() },
    handlers = self:handlers(),
    on_init = function(client)
      if not self.enabled then
        client:exec_cmd({ title = "Toggle", command = TOGGLE }) -- a new server has completions on
      end
    end,
    on_attach = function(client, attached)
      self.listeners.attached(client, attached)
    end,
    on_exit = vim.schedule_wrap(function(_, _, id)
      self:ended(code, signal, id)
    end),
  }
end

---@private
---@return table<string, lsp.Handler>
function Server:handlers()
  local levels = vim.log.levels
  local by_type = { levels.ERROR, levels.WARN, levels.INFO, levels.DEBUG }
  return {
    ["fimble/status"] = function(_, status)
      self:become(status)
    end,
    ["window/showMessage"] = function(_, message)
      self:tell(message.message, by_type[message.type])
    end,
    ["window/logMessage"] = function(_, message)
      self:note(message.message)
    end,
    ["$/progress"] = function(problem, progress, context)
      if vim.startswith(tostring(progress.token), "fimble/ghost/") then
        self.listeners.grown(progress.token, progress.value)
      else
        lsp.handlers["$/progress"](problem, progress, context)
      end
    end,
  }
end

---@private
function Server:settings()
  return next(self.options.settings) and self.options.settings or vim.empty_dict()
end

---@private
function Server:send_settings()
  local client = self:client()
  if client then
    client.settings = { [NAME] = self:settings() }
    client:notify("workspace/didChangeConfiguration", { settings = client.settings })
  end
end

---@private
---@param code integer
---@param signal integer
---@param id integer
function Server:ended(code, signal, id)
  if id ~= self.id or vim.v.exiting ~= vim.NIL then
    return
  end
  self.id = nil
  self.halted = true
  self.listeners.gone()
  local why = signal ~= 0 and ("signal %d"):format(signal) or ("exit code %d"):format(code)
  local delay = self.restarts:died(vim.uv.now() / 1000)
  if not delay then
    self:become({ state = "error", message = ("the server has ended (%s)"):format(why) })
    self:tell(("the server keeps ending (%s): see :Fimble log, then :Fimble restart"):format(why), vim.log.levels.ERROR)
    return
  end
  self:become({ state = "starting" })
  self:tell(("the server has ended (%s) and is started again in %g s"):format(why, delay), vim.log.levels.WARN)
  vim.defer_fn(function()
    if not self.id and self.status.state == "starting" then
      self.halted = false
      self:attach_all()
    end
  end, math.floor(delay * 1000))
end

---@private
---@param status fimble.Status
function Server:become(status)
  self.status = status
  api.nvim_exec_autocmds("User", { pattern = "FimbleStatus", modeline = false, data = status })
end

---@private
---@param message string
function Server:note(message)
  table.insert(self.log, os.date("%H:%M:%S ") .. message)
  if #self.log > MOST_LINES then
    table.remove(self.log, 1)
  end
end

return M

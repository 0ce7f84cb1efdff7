--- `:Fimble`
---
--- plugin ▶ **commands** ▶ {program, server, status}

local program = require("fimble.program")

local api = vim.api

local M = {}

local MOST_READ = 65536 -- bytes of a log, from its end

--- The words before `serve`, which other commands of fimble begin with too.
---@param cmd string[]
---@return string[]?
local function before_serve(cmd)
  for i, word in ipairs(cmd) do
    if word == "serve" then
      return vim.list_slice(cmd, 1, i - 1)
    end
  end
end

--- Run another command of fimble; `done` is given what it prints, or what went wrong.
---@param server fimble.Server
---@param arguments string[]
---@param done fun(output: string)
function M.fimble(server, arguments, done)
  local words = before_serve(server.options.cmd)
  if not words then
    server:tell("the option `cmd` does not name `fimble serve`: run the command in a terminal", vim.log.levels.ERROR)
    return
  end
  local command = vim.list_extend(program.resolve(words) or words, arguments)
  local started, problem = pcall(
    vim.system,
    command,
    { text = true, cwd = program.folder() },
    vim.schedule_wrap(function(result)
      if result.code == 0 then
        done(result.stdout)
      else
        server:tell(vim.trim(result.stderr), vim.log.levels.ERROR)
      end
    end)
  )
  if not started then
    server:tell(("cannot run %s: %s"):format(table.concat(command, " "), problem), vim.log.levels.ERROR)
  end
end

--- Show `lines` in a window of their own; `q` closes it.
---@param name string
---@param lines string[]
local function show(name, lines)
  vim.cmd("botright new")
  local buf = api.nvim_get_current_buf()
  vim.bo[buf].buftype, vim.bo[buf].bufhidden, vim.bo[buf].swapfile = "nofile", "wipe", false
  api.nvim_buf_set_lines(buf, 0, -1, false, lines)
  vim.bo[buf].modifiable = false
  pcall(api.nvim_buf_set_name, buf, "fimble://" .. name)
  vim.keymap.set("n", "q", "<Cmd>close<CR>", { buffer = buf })
end

--- What the server has written on its standard error, as Neovim's log of all servers has it.
---@param server fimble.Server
---@return string[]
local function errors(server)
  local path = vim.lsp.log.get_filename()
  local file = io.open(path)
  if not file then
    return {}
  end
  local size = file:seek("end", 0) or 0
  file:seek("set", size > MOST_READ and size - MOST_READ or 0)
  local found = {} ---@type string[]
  for line in file:lines() do
    ---@cast line string
    local name, words = line:match('"rpc"%s+"([^"]+)"%s+"stderr"%s+"(.*)"$')
    if words and name == server.options.cmd[1] then
      vim.list_extend(found, vim.split(vim.trim((words:gsub("\\n", "\n"))), "\n"))
    end
  end
  file:close()
  return found
end

---@param server fimble.Server
local function choose_model(server)
  M.fimble(server, { "models", "--json" }, function(output)
    local names = {} ---@type string[]
    for line in vim.gsplit(output, "\n", { trimempty = true }) do
      local model = vim.json.decode(line, { luanil = { object = true } })
      if model.path and model.obstacle ~= "memory" then
        names[#names + 1] = model.name
      end
    end
    vim.ui.select(names, { prompt = "Complete with" }, function(name)
      if name then
        server:set("model", name ~= "default" and name or vim.NIL)
      end
    end)
  end)
end

--- What each command does.
---@type table<string, fun(server: fimble.Server, argument: string?)>
local COMMANDS = {
  status = function(server)
    local words = require("fimble.status").words(server.status, server.enabled)
    if not server:client_of(api.nvim_get_current_buf()) then
      words = words .. "; this buffer is not completed"
    end
    local longer = ("%s; %s"):format(words, server.status.detail or "")
    if server.status.detail and #longer < vim.v.echospace - #"fimble: " then
      words = longer -- a second line would have to be dismissed
    end
    api.nvim_echo({ { "fimble: " .. words } }, true, {})
  end,
  toggle = function(server)
    server:toggle()
  end,
  model = function(server, name)
    if name then
      server:set("model", name ~= "default" and name or vim.NIL)
    else
      choose_model(server)
    end
  end,
  log = function(server)
    local lines = { "What fimble has said, and what its process has written to standard error:", "" }
    vim.list_extend(lines, vim.split(table.concat(server.log, "\n"), "\n"))
    vim.list_extend(lines, { "", vim.lsp.log.get_filename(), "" })
    show("log", vim.list_extend(lines, errors(server)))
  end,
  stats = function(server)
    M.fimble(server, { "stats" }, function(output)
      show("stats", vim.split(output, "\n", { trimempty = true }))
    end)
  end,
  restart = function(server)
    server:restart()
  end,
}

---@param arguments string[]
function M.run(arguments)
  local name = arguments[1]
  local command = COMMANDS[name]
  local known = vim.tbl_keys(COMMANDS)
  local done, problem = pcall(function()
    if not command then
      error(("fimble: there is no `:Fimble %s`%s"):format(name, require("fimble.options").hint(name, known)), 0)
    end
    command(require("fimble").app().server, arguments[2])
  end)
  if not done then
    vim.notify(tostring(problem), vim.log.levels.ERROR)
  end
end

---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  if line:match("^%s*%w+!?%s+%S*$") == nil then
    return {}
  end
  local names = vim.tbl_keys(COMMANDS)
  table.sort(names)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, names)
end

return M

--- fimble for Neovim: what users and their configuration call.
---
--- **init** ▶ {options, server, completing, native, keymaps}

local M = {}

local FOCUSED = "textDocument/didFocus" --[[@as any]] -- none of the standard's methods

--- What `setup` makes.
---@class fimble.App
---@field options fimble.Options
---@field server fimble.Server
---@field display fimble.Completing|fimble.Native

---@type fimble.App?
local app

---@param server fimble.Server
---@param options fimble.Options
local function new_display(server, options)
  if options.ghost_text == "native" then
    return require("fimble.native").new(server)
  end
  return require("fimble.completing").new(server, options.auto_trigger)
end

---@return fimble.App
local function new_app(options)
  local self ---@type fimble.App
  local server = require("fimble.server").new(options, {
    grown = function(token, value)
      self.display:grown(token, value)
    end,
    attached = function(client, buf)
      local native = vim.lsp.inline_completion -- Neovim's own, which others may have enabled for all servers
      ---@diagnostic disable-next-line: unnecessary-if -- 0.11 has none
      if native then
        native.enable(self.options.ghost_text == "native", { client_id = client.id })
      end
      if buf == vim.api.nvim_get_current_buf() then
        self.display:changed()
      end
    end,
    gone = function()
      self.display:forget()
    end,
  })
  self = { options = options, server = server, display = new_display(server, options) }
  return self
end

---@param self fimble.App
local function watch(self)
  local group = vim.api.nvim_create_augroup("fimble", {})
  ---@param events vim.api.keyset.events[]
  ---@param callback fun(event: table)
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  on({ "FileType", "BufEnter", "BufFilePost" }, function(event)
    self.server:attach(event.buf)
    local client = self.server:client_of(event.buf)
    if client and event.event == "BufEnter" then
      client:notify(FOCUSED, { textDocument = { uri = vim.uri_from_bufnr(event.buf) } })
    end
  end)
  on({ "TextChangedI", "TextChangedP", "CursorMovedI" }, function()
    self.display:changed()
  end)
  on(
    { "InsertEnter" },
    vim.schedule_wrap(function() -- it is insert mode only afterwards
      self.display:changed()
    end)
  )
  on({ "InsertLeave", "BufLeave", "WinLeave" }, function()
    self.display:left()
  end)
end

--- Begin to complete. Called again, it changes the options.
---@param given fimble.GivenOptions?
function M.setup(given)
  vim.cmd.runtime("plugin/fimble.lua") -- which is not read where this folder came to the path too late
  local options = require("fimble.options").read(given)
  if app then
    app.display:left()
    app.options = options
    app.display = new_display(app.server, options)
    app.server:configure(options)
  else
    app = new_app(options)
    app.server:attach_all()
  end
  watch(app)
  require("fimble.keymaps").set(options.keymaps)
end

--- What `setup` has made; an error of one line where it was not called.
---@return fimble.App
function M.app()
  return app or error('fimble: call require("fimble").setup{} first', 0)
end

--- Whether there is a suggestion at the cursor.
---@return boolean
function M.visible()
  return app ~= nil and app.display:visible()
end

--- Accept all of the suggestion.
---@return boolean  whether there was one, so that a mapping may do something else
function M.accept()
  return app ~= nil and app.display:accept("all")
end

--- Accept the suggestion's next word.
---@return boolean
function M.accept_word()
  return app ~= nil and app.display:accept("word")
end

--- Accept the suggestion up to the end of its line.
---@return boolean
function M.accept_line()
  return app ~= nil and app.display:accept("line")
end

--- Show the next candidate.
function M.next()
  M.app().display:choose(1)
end

--- Show the previous candidate.
function M.prev()
  M.app().display:choose(-1)
end

--- Take the suggestion off the screen until the next key.
---@return boolean  whether there was one
function M.dismiss()
  return app ~= nil and app.display:dismiss()
end

--- Ask for a suggestion now.
function M.trigger()
  M.app().display:trigger()
end

--- Switch completions off, or on again.
function M.toggle()
  M.app().server:toggle()
end

--- A few letters for a status line; `User FimbleStatus` is triggered when they change.
---@return string
function M.statusline()
  return app and require("fimble.status").short(app.server.status, app.server.enabled) or ""
end

return M

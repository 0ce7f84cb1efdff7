--- Neovim's own ghost text (0.12 and newer), with the same functions as `completing`.
---
--- init ▶ **native** ▶ accepting. Neovim asks, 200 ms after the last key, and draws; here are only the keys.

local accepting = require("fimble.accepting")

local api = vim.api

local M = {}

local NAMESPACE = "nvim.lsp.inline_completion"

---@class fimble.Native
---@field private server fimble.Server
local Native = {}
Native.__index = Native

---@param server fimble.Server
---@return fimble.Native
function M.new(server)
  return setmetatable({ server = server }, Native)
end

--- What Neovim sees to itself.
function Native:changed() end

function Native:left() end

function Native:grown() end

function Native:forget() end

---@return boolean
function Native:visible()
  local namespace = api.nvim_get_namespaces()[NAMESPACE]
  return namespace ~= nil and #api.nvim_buf_get_extmarks(0, namespace, 0, -1, { limit = 1 }) > 0
end

---@param unit fimble.Unit
---@return boolean
function Native:accept(unit)
  return vim.lsp.inline_completion.get({
    on_accept = function(item)
      return self:take(item, unit)
    end,
  })
end

---@param step 1|-1
function Native:choose(step)
  vim.lsp.inline_completion.select({ count = step })
end

--- Neovim has no such thing: what it has drawn is taken away, and comes back with the next key.
---@return boolean
function Native:dismiss()
  local visible = self:visible()
  if visible then
    api.nvim_buf_clear_namespace(0, api.nvim_get_namespaces()[NAMESPACE], 0, -1)
  end
  return visible
end

function Native:trigger() end

--- Take a part of the item; all of it is left to Neovim.
---@private
---@param item vim.lsp.inline_completion.Item
---@param unit fimble.Unit
---@return vim.lsp.inline_completion.Item?
function Native:take(item, unit)
  local text, range = item.insert_text, item.range
  if unit == "all" or type(text) ~= "string" or not range then
    return item
  end
  local buf = api.nvim_get_current_buf()
  local row, col = unpack(api.nvim_win_get_cursor(0))
  local start_row, start_col = range:to_extmark()
  local typed = table.concat(api.nvim_buf_get_text(buf, start_row, start_col, row - 1, col, {}), "\n")
  if not vim.startswith(text, typed) then
    return nil
  end
  local rest = { text = text:sub(#typed + 1), typed = typed, row = row - 1, col = col, covered = "" }
  local piece = accepting.piece(rest.text, unit)
  if piece == rest.text then
    return item
  end
  accepting.insert(buf, rest, piece)
  local client = vim.lsp.get_client_by_id(item.client_id)
  local sent = { insertText = text, command = item.command }
  if client then
    accepting.tell(client, { buf = buf, item = sent }, rest, piece)
  end
  return nil
end

return M

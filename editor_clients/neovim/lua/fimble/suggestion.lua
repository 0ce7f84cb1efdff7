--- A suggestion and what is left of it while the user types: nothing here asks the server.
---
--- completing ▶ **suggestion** ▶ text

local api = vim.api

local M = {}

--- What is left to show: `text` at the byte `col` of the line `row`, both from 0. `covered` is what stands
--- after the cursor and is part of `text`, such as a bracket that the editor has closed.
---@class fimble.Rest
---@field text string
---@field typed string  what of the suggestion stands before the cursor
---@field row integer
---@field col integer
---@field covered string

---@alias fimble.Encoding "utf-8"|"utf-16"|"utf-32"

---@class fimble.Suggestion
---@field buf integer
---@field item lsp.InlineCompletionItem  as the server has sent it
---@field id any  which one it is for the server
---@field told boolean  the server knows that it was shown
---@field private text string
---@field private mark integer
---@field private covered string
---@field private beyond string  what follows on the line and stays
local Suggestion = {}
Suggestion.__index = Suggestion

local places = api.nvim_create_namespace("fimble.places")

---@param buf integer
---@param position lsp.Position
---@param encoding fimble.Encoding
---@return integer? row, integer? col  from 0, in bytes; nil where there is no such line
local function place(buf, position, encoding)
  local line = api.nvim_buf_get_lines(buf, position.line, position.line + 1, false)[1]
  if not line then
    return nil
  end
  return position.line, vim.str_byteindex(line, encoding, position.character, false)
end

---@return integer row, integer col, string line  the cursor of the current window, and its line
local function cursor()
  local row, col = unpack(api.nvim_win_get_cursor(0))
  return row - 1, col, api.nvim_get_current_line()
end

--- An item of the server's, which it has just sent for where the cursor is; nil where it is for elsewhere.
---@param buf integer  the current one
---@param item lsp.InlineCompletionItem
---@param encoding fimble.Encoding  of the item's range
---@return fimble.Suggestion?
function M.new(buf, item, encoding)
  local row, col, line = cursor()
  ---@type integer?, integer?, integer?, integer?
  local start_row, start_col, end_row, end_col = row, col, row, col
  if item.range then
    start_row, start_col = place(buf, item.range.start, encoding)
    end_row, end_col = place(buf, item.range["end"], encoding)
  end
  if not start_row or not start_col or end_row ~= row or not end_col or end_col < col then
    return nil
  end
  local text = item.insertText --[[@as string]]
  return setmetatable({
    buf = buf,
    item = item,
    id = vim.tbl_get(item, "command", "arguments", 1),
    told = false,
    text = text:gsub("\r\n", "\n"),
    mark = api.nvim_buf_set_extmark(buf, places, start_row, start_col, { right_gravity = false }),
    covered = line:sub(col + 1, end_col),
    beyond = line:sub(end_col + 1),
  }, Suggestion)
end

--- What is left of it at the cursor, nil where something else was typed.
---@return fimble.Rest?
function Suggestion:rest()
  if api.nvim_get_current_buf() ~= self.buf then
    return nil
  end
  local row, col, line = cursor()
  local start_row, start_col = unpack(api.nvim_buf_get_extmark_by_id(self.buf, places, self.mark, {}))
  if not start_row or start_row > row or (start_row == row and start_col > col) or row - start_row > #self.text then
    return nil
  end
  local typed = table.concat(api.nvim_buf_get_text(self.buf, start_row, start_col, row, col, {}), "\n")
  local after = line:sub(col + 1)
  if #typed >= #self.text or not vim.startswith(self.text, typed) or not vim.endswith(after, self.beyond) then
    return nil
  end
  local covered = after:sub(1, #after - #self.beyond)
  if covered ~= self.covered and covered:find("[^%])}>\"'`;,]") then
    return nil
  end
  return { text = self.text:sub(#typed + 1), typed = typed, row = row, col = col, covered = covered }
end

--- It is not needed any more.
function Suggestion:forget()
  if api.nvim_buf_is_valid(self.buf) then
    api.nvim_buf_del_extmark(self.buf, places, self.mark)
  end
end

return M

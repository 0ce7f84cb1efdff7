--- Text of a suggestion becomes text of the file.
---
--- completing ▶ **accepting** ▶ text

local text = require("fimble.text")

local api = vim.api

local M = {}

local PARTLY_ACCEPTED = "textDocument/didPartiallyAcceptCompletion" --[[@as any]] -- none of the standard's methods

---@alias fimble.Unit "all"|"word"|"line"

--- How much of `rest` is taken.
---@param rest string
---@param unit fimble.Unit
---@return string
function M.piece(rest, unit)
  return unit == "word" and text.word(rest) or unit == "line" and text.line(rest) or rest
end

--- Put `piece` at the cursor, as one step that can be undone. Where it is all that is left, it takes the place
--- of what it brings along itself.
---@param buf integer  the current one
---@param rest fimble.Rest
---@param piece string
function M.insert(buf, rest, piece)
  vim.cmd("let &g:undolevels = &g:undolevels") -- what is undone ends here
  local lines = vim.split(piece, "\n", { plain = true })
  local covered = piece == rest.text and #rest.covered or 0
  api.nvim_buf_set_text(buf, rest.row, rest.col, rest.row, rest.col + covered, lines)
  local col = (#lines == 1 and rest.col or 0) + #lines[#lines]
  api.nvim_win_set_cursor(0, { rest.row + #lines, col })
end

--- Tell the server what was taken, and let it count.
---@param client vim.lsp.Client
---@param suggestion { buf: integer, item: lsp.InlineCompletionItem }
---@param rest fimble.Rest  as it was before
---@param piece string
function M.tell(client, suggestion, rest, piece)
  local command = suggestion.item.command
  if piece ~= rest.text then
    client:notify(PARTLY_ACCEPTED, {
      item = suggestion.item,
      acceptedLength = text.utf16_length(rest.typed .. piece),
    })
  elseif command then
    client:exec_cmd(command, { bufnr = suggestion.buf })
  end
end

return M

--- Ghost text on the screen.
---
--- completing ▶ **ghost** ▶ text. It is drawn anew between a key and the screen's next picture, so that nobody
--- sees it come and go.

local text = require("fimble.text")

local api = vim.api

local M = {}

local namespace = api.nvim_create_namespace("fimble.ghost")
local COLOUR, HINT_COLOUR = "FimbleGhost", "FimbleHint"

--- Draw `rest`, and nothing else, in `buf`. `hint` stands behind it.
---@param buf integer
---@param rest fimble.Rest
---@param hint string?
function M.draw(buf, rest, hint)
  M.clear(buf)
  local tabstop = vim.bo[buf].tabstop
  local lines = vim.split(rest.text, "\n", { plain = true })
  local behind = hint and { { hint, HINT_COLOUR } } or {}
  local column = vim.fn.virtcol(".") --[[@as integer]]
  for _, piece in ipairs(text.around(lines[1], rest.covered)) do
    api.nvim_buf_set_extmark(buf, namespace, rest.row, rest.col + piece.at, {
      virt_text = { { text.without_tabs(piece.text, column - 1 + piece.at, tabstop), COLOUR } },
      virt_text_pos = "inline",
      hl_mode = "replace", -- "combine" loses the grey beside a bracket that is highlighted with its pair
    })
  end
  if #lines == 1 then
    if hint then
      api.nvim_buf_set_extmark(buf, namespace, rest.row, rest.col, { virt_text = behind, virt_text_pos = "eol" })
    end
    return
  end
  local below = {} ---@type [string, string][][]
  for i = 2, #lines do
    below[#below + 1] = { { text.without_tabs(lines[i], 0, tabstop), COLOUR } }
  end
  vim.list_extend(below[#below], behind)
  api.nvim_buf_set_extmark(buf, namespace, rest.row, rest.col, { virt_lines = below })
end

--- Take it off the screen.
---@param buf integer
function M.clear(buf)
  if api.nvim_buf_is_valid(buf) then
    api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  end
end

return M

--- Pure functions on the text of a suggestion.
---
--- {suggestion, ghost, accepting} ▶ **text**

local M = {}

--- The next word of `rest` with the space before it; a run of signs is a word too.
---@param rest string
---@return string
function M.word(rest)
  return rest:match("^%s*[%w_\128-\255]+") or rest:match("^%s*[^%w_%s\128-\255]+") or rest
end

--- `rest` up to the end of its first line; where it begins with the end of one, of the line after that.
---@param rest string
---@return string
function M.line(rest)
  return rest:match("^\n*[^\n]*") or ""
end

--- `text` with tabs as the spaces that they take, where it begins in the screen column `column`.
---@param text string  one line
---@param column integer  from 0
---@param tabstop integer
---@return string
function M.without_tabs(text, column, tabstop)
  if not text:find("\t", 1, true) then
    return text
  end
  local parts = {} ---@type string[]
  for part, tab in text:gmatch("([^\t]*)(\t?)") do
    column = column + vim.fn.strdisplaywidth(part, column)
    parts[#parts + 1] = part
    if tab ~= "" then
      local width = tabstop - column % tabstop
      parts[#parts + 1] = (" "):rep(width)
      column = column + width
    end
  end
  return table.concat(parts)
end

--- Where to draw `line` around the text that stands after the cursor and is part of it, such as the brackets
--- that an editor has closed: pieces and after how many bytes of `covered` each belongs. A sign that `line`
--- has several times is taken for the last one. Where `covered` is not in `line`, all of it comes first.
---@param line string
---@param covered string
---@return { at: integer, text: string }[]
function M.around(line, covered)
  local pieces = {} ---@type { at: integer, text: string }[]
  local rest = line
  for i = #covered, 1, -1 do
    local sign = covered:sub(i, i)
    local at = rest:reverse():find(sign, 1, true)
    if not at then
      return { { at = 0, text = line } }
    end
    local place = #rest - at + 1
    if place < #rest then
      table.insert(pieces, 1, { at = i, text = rest:sub(place + 1) })
    end
    rest = rest:sub(1, place - 1)
  end
  if rest ~= "" then
    table.insert(pieces, 1, { at = 0, text = rest })
  end
  return pieces
end

--- How many UTF-16 code units `text` has.
---@param text string
---@return integer
function M.utf16_length(text)
  return vim.str_utfindex(text, "utf-16")
end

return M

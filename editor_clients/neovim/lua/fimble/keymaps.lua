--- Keys in insert mode, which do what they did before wherever there is no suggestion.
---
--- init ▶ **keymaps**

local M = {}

--- What each keymap calls, and whether it needs a suggestion to do so.
---@type table<string, { call: string, needs_suggestion: boolean, words: string }>
local ACTIONS = {
  accept = { call = "accept()", needs_suggestion = true, words = "accept the suggestion" },
  accept_word = { call = "accept_word()", needs_suggestion = true, words = "accept the next word" },
  accept_line = { call = "accept_line()", needs_suggestion = true, words = "accept the line" },
  next = { call = "next()", needs_suggestion = false, words = "next candidate" },
  prev = { call = "prev()", needs_suggestion = false, words = "previous candidate" },
  dismiss = { call = "dismiss()", needs_suggestion = true, words = "dismiss the suggestion" },
  trigger = { call = "trigger()", needs_suggestion = false, words = "ask for a suggestion" },
}

--- Keep what `key` does as another mapping.
---@param name string
---@param key string
---@return string?  that mapping's left side; nil where the key is not mapped
local function keep(name, key)
  local earlier = vim.fn.maparg(key, "i", false, true)
  if vim.tbl_isempty(earlier) or earlier.buffer == 1 then
    return nil
  end
  local kept = ("<Plug>(fimble-before-%s)"):format(name)
  if vim.startswith(earlier.desc or "", "fimble: ") then
    return vim.fn.maparg(kept, "i") ~= "" and kept or nil -- `setup` was called before
  end
  local raw = vim.keycode(kept)
  vim.fn.mapset("i", false, vim.tbl_extend("force", earlier, { lhs = kept, lhsraw = raw, lhsrawalt = raw }))
  return kept
end

---@param name string
---@param key string
local function map(name, key)
  local action = ACTIONS[name]
  local run = ("<Cmd>lua require('fimble').%s<CR>"):format(action.call)
  if not action.needs_suggestion then
    vim.keymap.set("i", key, run, { desc = "fimble: " .. action.words })
    return
  end
  local before = keep(name, key)
  vim.keymap.set("i", key, function()
    return require("fimble").visible() and run or before or key
  end, { expr = true, remap = before ~= nil, replace_keycodes = true, desc = "fimble: " .. action.words })
end

---@param keymaps fimble.Keymaps|false
function M.set(keymaps)
  for name, key in pairs(keymaps or {}) do
    if key then
      map(name, key)
    end
  end
end

return M

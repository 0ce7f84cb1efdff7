--- What a user can set in `setup`, checked where it comes in.
---
--- init ▶ **options**. The server's settings are passed through as they are: what they mean, and whether they
--- are right, is known there.

local M = {}

---@class fimble.Keymaps
---@field accept string|false  take all of the suggestion
---@field accept_word string|false  take its next word
---@field accept_line string|false  take it up to the end of the line
---@field next string|false  show the next candidate; asks for some first
---@field prev string|false
---@field dismiss string|false  take it off the screen until the next key
---@field trigger string|false  ask for a suggestion

---@class fimble.Options
---@field cmd string[]  how the server is started
---@field settings table<string, any>  the server's settings
---@field auto_trigger boolean  ask while the user types; otherwise only when told to
---@field ghost_text "streamed"|"native"  drawn by this plugin as it is written, or by Neovim (0.12 and newer)
---@field enabled fun(buf: integer): boolean  which buffers are completed
---@field root_markers string[]  what marks a project's folder
---@field keymaps fimble.Keymaps|false  keys in insert mode; false for none of them

--- The same with everything optional, as `setup` takes it.
---@class fimble.GivenOptions
---@field cmd? string[]
---@field settings? table<string, any>
---@field auto_trigger? boolean
---@field ghost_text? "streamed"|"native"
---@field enabled? fun(buf: integer): boolean
---@field root_markers? string[]
---@field keymaps? table<string, string|false>|false

---@type fimble.Options
local DEFAULTS = {
  cmd = { "fimble", "serve" },
  settings = {},
  auto_trigger = true,
  ghost_text = "streamed",
  enabled = function()
    return true
  end,
  root_markers = { ".git", "pyproject.toml", "package.json", "Cargo.toml", "go.mod" },
  keymaps = {
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-C-Right>",
    next = "<M-]>",
    prev = "<M-[>",
    dismiss = "<C-]>",
    trigger = "<M-\\>",
  },
}

---@param value any
---@return boolean
local function is_strings(value)
  if type(value) ~= "table" or not vim.islist(value) then
    return false
  end
  for _, one in ipairs(value) do
    if type(one) ~= "string" then
      return false
    end
  end
  return true
end

---@param kind type
---@return fun(value: any): boolean
local function of_type(kind)
  return function(value)
    return type(value) == kind
  end
end

--- What a value has to be, as a test and in words.
---@type table<string, { accepts: (fun(value: any): boolean), words: string }>
local RULES = {
  cmd = {
    accepts = function(value)
      return is_strings(value) and #value > 0
    end,
    words = 'a list of words, such as { "fimble", "serve" }',
  },
  settings = { accepts = of_type("table"), words = 'a table of the server\'s settings, such as { device = "cpu" }' },
  auto_trigger = { accepts = of_type("boolean"), words = "true or false" },
  ghost_text = {
    accepts = function(value)
      return value == "streamed" or value == "native"
    end,
    words = '"streamed" or "native"',
  },
  enabled = { accepts = of_type("function"), words = "a function of a buffer's number" },
  root_markers = { accepts = is_strings, words = 'a list of names, such as { ".git" }' },
  keymaps = {
    accepts = function(value)
      return value == false or type(value) == "table"
    end,
    words = "a table of keys, or false for none",
  },
}

--- How many letters have to be put in, taken out or changed to make `b` of `a` (Levenshtein 1966).
---@param a string
---@param b string
---@return integer
local function distance(a, b)
  local row = {} ---@type integer[]
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local change = diagonal + (a:sub(i, i) == b:sub(j, j) and 0 or 1)
      diagonal = row[j]
      row[j] = math.min(change, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

--- The end of a message about a name that there is not: the likely one, or all of them.
---@param name string
---@param known string[]
---@return string
function M.hint(name, known)
  table.sort(known)
  local best, nearest = nil, 3
  for _, other in ipairs(known) do
    local far = distance(name, other)
    if far < nearest then
      best, nearest = other, far
    end
  end
  return best and (": did you mean `%s`?"):format(best) or ("; there are %s"):format(table.concat(known, ", "))
end

---@param message string
local function refuse(message, ...)
  error("fimble: " .. message:format(...), 0)
end

---@param given table
---@param known table
---@param words string
local function refuse_unknown(given, known, words)
  for name in pairs(given) do
    if known[name] == nil then
      refuse("there is no %s `%s`%s", words, name, M.hint(tostring(name), vim.tbl_keys(known)))
    end
  end
end

---@param given false|table<string, string|false>|nil
---@return fimble.Keymaps|false
local function read_keymaps(given)
  if given == false then
    return false
  end
  local known = DEFAULTS.keymaps --[[@as table<string, string>]]
  refuse_unknown(given or {}, known, "keymap")
  for name, key in pairs(given or {}) do
    if key ~= false and (type(key) ~= "string" or key == "") then
      refuse("the keymap `%s` is %s, but has to be a key such as %q, or false", name, vim.inspect(key), known[name])
    end
  end
  return vim.tbl_extend("force", known, given or {}) --[[@as fimble.Keymaps]]
end

--- The defaults with what the user has given. A mistake in it is an error of one line.
---@param given fimble.GivenOptions?
---@return fimble.Options
function M.read(given)
  given = given or {}
  if type(given) ~= "table" then
    refuse("setup takes a table of options, not %s", vim.inspect(given))
  end
  refuse_unknown(given, RULES, "option")
  for name, value in pairs(given) do
    local rule = RULES[name]
    if not rule.accepts(value) then
      refuse("the option `%s` is %s, but has to be %s", name, vim.inspect(value), rule.words)
    end
  end
  if given.ghost_text == "native" and vim.fn.has("nvim-0.12") == 0 then
    refuse('the option `ghost_text` is "native", which Neovim has since 0.12: leave it out')
  end
  local options = vim.tbl_extend("force", DEFAULTS, given) --[[@as fimble.Options]]
  options.keymaps = read_keymaps(given.keymaps)
  return options
end

return M

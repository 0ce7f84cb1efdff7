local options = require("fimble.options")

--- What `read` says about `given`.
---@param given any
---@return string
local function refusal(given)
  local done, problem = pcall(options.read, given)
  assert(not done, "it was taken")
  return problem --[[@as string]]
end

---@param message string
---@param part string
local function has(message, part)
  assert(message:find(part, 1, true), message)
  assert(not message:find("\n", 1, true), "more than one line: " .. message)
end

return {
  ["nothing has to be set"] = function()
    assert(options.read().cmd[1] == "fimble")
    assert(options.read({}).keymaps.accept == "<Tab>")
  end,
  ["what is not set has its default"] = function()
    local read = options.read({ keymaps = { accept = "<C-l>", dismiss = false } })
    assert(read.keymaps.accept == "<C-l>" and read.keymaps.dismiss == false)
    assert(read.keymaps.next == "<M-]>" and read.auto_trigger)
  end,
  ["an unknown option is an error with a hint"] = function()
    has(refusal({ cmdd = {} }), "there is no option `cmdd`: did you mean `cmd`?")
    has(refusal({ setings = {} }), "did you mean `settings`?")
    has(refusal({ wholly_different = 1 }), "there are auto_trigger, cmd,")
    has(refusal({ keymaps = { acept = "<Tab>" } }), "there is no keymap `acept`: did you mean `accept`?")
  end,
  ["a wrong value is an error that says what it has to be"] = function()
    has(refusal({ cmd = "fimble serve" }), "has to be a list of words")
    has(refusal({ cmd = {} }), "has to be a list of words")
    has(refusal({ auto_trigger = 1 }), "has to be true or false")
    has(refusal({ ghost_text = "grey" }), 'has to be "streamed" or "native"')
    has(refusal({ keymaps = { accept = 3 } }), "has to be a key such as")
    has(refusal("fimble"), "takes a table of options")
  end,
  ["the server's settings are not looked into"] = function()
    assert(options.read({ settings = { anything = 1 } }).settings.anything == 1)
  end,
  ["keys may be left out altogether"] = function()
    assert(options.read({ keymaps = false }).keymaps == false)
  end,
  ["Neovim's own ghost text is refused where there is none"] = function()
    if vim.fn.has("nvim-0.12") == 0 then
      has(refusal({ ghost_text = "native" }), "has since 0.12")
    else
      assert(options.read({ ghost_text = "native" }).ghost_text == "native")
    end
  end,
}

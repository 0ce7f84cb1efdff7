local text = require("fimble.text")

---@param found any
---@param expected any
local function equal(found, expected)
  assert(vim.deep_equal(found, expected), ("%s is not %s"):format(vim.inspect(found), vim.inspect(expected)))
end

return {
  ["a word has the space before it"] = function()
    equal(text.word("  foo.bar"), "  foo")
    equal(text.word("\n    foo"), "\n    foo")
  end,
  ["a run of signs is a word"] = function()
    equal(text.word("(*args)"), "(*")
    equal(text.word(" == x"), " ==")
  end,
  ["letters of any script are letters"] = function()
    equal(text.word("größe = 1"), "größe")
  end,
  ["space alone is a word"] = function()
    equal(text.word("   "), "   ")
  end,
  ["a line ends before its end, or is the next one"] = function()
    equal(text.line("a b\nc"), "a b")
    equal(text.line("\n  c\nd"), "\n  c")
  end,
  ["ghost text goes around what is there already"] = function()
    equal(text.around("a, b):", ")"), { { at = 0, text = "a, b" }, { at = 1, text = ":" } })
    equal(text.around("f(x))", "))"), { { at = 0, text = "f(x" } })
    equal(text.around("x", ""), { { at = 0, text = "x" } })
    equal(text.around("x", ")"), { { at = 0, text = "x" } })
  end,
  ["tabs are as wide as they will be"] = function()
    equal(text.without_tabs("\ta\tb", 0, 4), "    a   b")
    equal(text.without_tabs("\ta", 3, 4), " a")
    equal(text.without_tabs("a", 3, 4), "a")
  end,
  ["lengths are counted in UTF-16"] = function()
    equal(text.utf16_length("aé🎉"), 4)
  end,
}

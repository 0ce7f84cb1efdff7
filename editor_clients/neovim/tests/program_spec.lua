local program = require("fimble.program")

return {
  ["a program is started by its whole path, with its arguments"] = function()
    local name = vim.fs.basename(vim.v.progpath)
    local before = vim.env.PATH
    vim.fn.setenv("PATH", vim.fs.dirname(vim.v.progpath))
    assert(vim.deep_equal(program.resolve({ name, "serve" }), { vim.fn.exepath(name), "serve" }))
    vim.fn.setenv("PATH", before)
  end,
  ["a program that is not there has no path"] = function()
    assert(program.resolve({ "no-such-program" }) == nil)
  end,
  ["no trace is left in the environment"] = function()
    program.resolve({ "no-such-program" })
    assert(vim.env.NoDefaultCurrentDirectoryInExePath == nil)
  end,
}

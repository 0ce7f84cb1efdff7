-- What there is before `setup`: the command, and colours that a colour scheme may set.

if vim.g.loaded_fimble then
  return
end
vim.g.loaded_fimble = true

if vim.fn.has("nvim-0.11") == 0 then
  vim.notify("fimble needs Neovim 0.11 or newer: this is an older one", vim.log.levels.ERROR)
  return
end

local function define_colours()
  local grey = vim.fn.hlexists("ComplHint") == 1 and "ComplHint" or "NonText"
  vim.api.nvim_set_hl(0, "FimbleGhost", { default = true, link = grey })
  vim.api.nvim_set_hl(0, "FimbleHint", { default = true, link = "MoreMsg" })
end

define_colours()
vim.api.nvim_create_autocmd("ColorScheme", {
  group = vim.api.nvim_create_augroup("fimble.colours", {}),
  callback = define_colours,
})

vim.api.nvim_create_user_command("Fimble", function(command)
  require("fimble.commands").run(command.fargs)
end, {
  nargs = "+",
  desc = "fimble: status, toggle, model, log, stats or restart",
  complete = function(lead, line)
    return require("fimble.commands").complete(lead, line)
  end,
})

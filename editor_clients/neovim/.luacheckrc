-- luacheck editor_clients/neovim
std = "luajit"
read_globals = { "vim" }
globals = { "vim.bo", "vim.g", "vim.o" }
max_line_length = 120
self = false

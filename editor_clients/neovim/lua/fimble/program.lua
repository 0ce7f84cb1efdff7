--- Where the program `fimble` is, and where it runs: neither in the folder that is being edited.
---
--- {server, health} ▶ **program**. `python -m` imports from the current folder before it looks anywhere else, and
--- Windows looks there for programs.

local M = {}

local ON_PATH_ALONE = "NoDefaultCurrentDirectoryInExePath" -- while it is set, that is where Windows looks

--- The folder that it runs in.
---@return string
function M.folder()
  local home = assert(vim.uv.os_homedir())
  return home
end

--- `command` with the whole path of its program; nil where there is no such program.
---@param command string[]
---@return string[]?
function M.resolve(command)
  local before = vim.env[ON_PATH_ALONE] or vim.NIL
  vim.fn.setenv(ON_PATH_ALONE, "1")
  local path = vim.fn.exepath(command[1])
  vim.fn.setenv(ON_PATH_ALONE, before)
  return path ~= "" and { path, unpack(command, 2) } or nil
end

return M

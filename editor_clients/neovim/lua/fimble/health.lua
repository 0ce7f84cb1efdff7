--- `:checkhealth fimble`
---
--- **health** ▶ {init, program, status}

local program = require("fimble.program")

local M = {}

local health = vim.health
local PATIENCE = 60000 -- milliseconds: on a slow disk a first look takes its time

---@param command string[]
---@return vim.SystemCompleted?
local function run(command)
  local started, process = pcall(vim.system, command, { text = true, cwd = program.folder() })
  return started and process:wait(PATIENCE) or nil
end

---@param server fimble.Server
local function check_server(server)
  local cmd = server.options.cmd
  local command = program.resolve(cmd)
  if not command then
    health.error(("there is no command `%s`"):format(cmd[1]), {
      "install fimble, so that `fimble --version` works in the shell that Neovim was started from",
      'or name it: require("fimble").setup { cmd = { "/path/to/fimble", "serve" } }',
    })
    return
  end
  health.ok(("`%s` is %s"):format(cmd[1], command[1]))
  local words = require("fimble.status").words(server.status, server.enabled)
  if server.status.state == "error" then
    health.error(words, { "`:Fimble log` has more", "`:Fimble restart` tries again" })
  elseif server:client() then
    health.ok(words)
    if server.status.detail then
      health.info(server.status.detail)
    end
  else
    health.info(words .. ": it is started with the first file that is opened")
  end
  if #cmd == 2 and cmd[2] == "serve" then
    local result = run({ command[1], "doctor" })
    if result and result.code == 0 then
      health.ok("`fimble doctor` finds everything in place")
    else
      health.error("`fimble doctor` finds something", vim.split(vim.trim(result and result.stdout or ""), "\n"))
    end
  end
end

---@param options fimble.Options
local function check_keymaps(options)
  for name, key in pairs(options.keymaps or {}) do
    local mapping = key and vim.fn.maparg(key, "i", false, true) or {}
    if key and not vim.startswith(mapping.desc or "", "fimble: ") then
      health.warn(("%s does not %s: something else has mapped it since"):format(key, name:gsub("_", " ")), {
        ("choose another key: keymaps = { %s = … }"):format(name),
      })
    end
  end
end

function M.check()
  health.start("fimble")
  if vim.fn.has("nvim-0.11") == 0 then
    health.error("Neovim is older than 0.11: fimble needs that or a newer one")
    return
  end
  ---@diagnostic disable-next-line: call-non-callable -- it is, by its metatable
  health.ok(("Neovim %s"):format(vim.version()))
  local called, app = pcall(require("fimble").app)
  if not called then
    health.error("`setup` was not called", { 'put require("fimble").setup {} into your configuration' })
    return
  end
  check_server(app.server)
  check_keymaps(app.options)
end

return M

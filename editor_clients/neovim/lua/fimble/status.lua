--- How the server is, in words.
---
--- {commands, init, health} ▶ **status**

local M = {}

--- As `fimble/status` tells it; `stopped` and `starting` are ours.
---@class fimble.Status
---@field state "stopped"|"starting"|"loading"|"ready"|"generating"|"error"
---@field share number?  how much of the model is loaded
---@field model string?
---@field message string?
---@field detail string?  what computes the model, and the memory that it takes

--- One line.
---@param status fimble.Status
---@param enabled boolean
---@return string
function M.words(status, enabled)
  if status.state == "stopped" then
    return "the server does not run"
  elseif status.state == "starting" then
    return "the server is being started"
  elseif status.state == "loading" then
    return ("the model is being loaded: %d %% (%s)"):format((status.share or 0) * 100, status.message or "…")
  elseif status.state == "error" then
    return status.message or "something is wrong"
  end
  return ("the model %s is ready%s"):format(status.model or "?", enabled and "" or ", and completions are off")
end

--- A few letters for a status line.
---@param status fimble.Status
---@param enabled boolean
---@return string
function M.short(status, enabled)
  if status.state == "error" then
    return "fimble ✗"
  elseif not enabled or status.state == "stopped" then
    return "fimble –"
  elseif status.state == "loading" or status.state == "starting" then
    return ("fimble %d%%"):format((status.share or 0) * 100)
  end
  return status.state == "generating" and "fimble …" or "fimble ✓"
end

return M

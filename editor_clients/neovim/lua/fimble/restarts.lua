--- Whether a server that has died is started again, and when.
---
--- server ▶ **restarts**. One that dies again and again is left alone: it would only take the machine's time.

local M = {}

---@class fimble.Restarts
---@field private deaths number[]  when, in seconds
local Restarts = {}
Restarts.__index = Restarts

local LIMIT, WITHIN = 4, 180 -- restarts, seconds
local FIRST = 0.5 -- seconds, twice as long each time

---@return fimble.Restarts
function M.new()
  return setmetatable({ deaths = {} }, Restarts)
end

--- The server has died `now`: after how many seconds to start it again; nil for not at all.
---@param now number  seconds
---@return number?
function Restarts:died(now)
  self.deaths = vim.tbl_filter(function(then_)
    return now - then_ < WITHIN
  end, self.deaths)
  table.insert(self.deaths, now)
  if #self.deaths > LIMIT then
    return nil
  end
  return FIRST * 2 ^ (#self.deaths - 1)
end

--- The user starts it by hand, and all begins anew.
function Restarts:forget()
  self.deaths = {}
end

return M

local restarts = require("fimble.restarts")

return {
  ["a server that dies is started again, each time later"] = function()
    local some = restarts.new()
    assert(some:died(0) == 0.5)
    assert(some:died(10) == 1)
    assert(some:died(20) == 2)
    assert(some:died(30) == 4)
  end,
  ["one that dies too often is left alone"] = function()
    local some = restarts.new()
    for now = 1, 4 do
      assert(some:died(now))
    end
    assert(some:died(5) == nil)
    some:forget()
    assert(some:died(6) == 0.5)
  end,
  ["deaths of long ago do not count"] = function()
    local some = restarts.new()
    for now = 0, 10000, 200 do
      assert(some:died(now) == 0.5)
    end
  end,
}

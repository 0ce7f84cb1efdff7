--- From a key to ghost text, and from ghost text to text.
---
--- init ▶ **completing** ▶ {suggestion, ghost, accepting} and server. One request is under way, the newest.
--- What is shown stays as long as it agrees with what is typed, whatever is being asked meanwhile.

local accepting = require("fimble.accepting")
local ghost = require("fimble.ghost")
local suggestions = require("fimble.suggestion")

local api = vim.api

local M = {}

local METHOD = "textDocument/inlineCompletion"
local SHOWN = "textDocument/didShowCompletion" --[[@as any]] -- none of the standard's methods
local INVOKED, AUTOMATIC = 1, 2

--- A request that is under way, and where the cursor was.
---@class fimble.Asked
---@field client vim.lsp.Client
---@field request integer?
---@field token string
---@field place string

---@class fimble.Completing
---@field private server fimble.Server
---@field private automatic boolean
---@field private asked fimble.Asked?
---@field private shown fimble.Suggestion?
---@field private candidates lsp.InlineCompletionItem[]?
---@field private place string?
---@field private count integer
local Completing = {}
Completing.__index = Completing

---@param server fimble.Server
---@param automatic boolean  ask while the user types
---@return fimble.Completing
function M.new(server, automatic)
  return setmetatable({ server = server, automatic = automatic, count = 0 }, Completing)
end

local function inserting()
  return api.nvim_get_mode().mode:sub(1, 1) == "i"
end

--- Where the cursor is, and in which text: two that are equal need no second look.
---@return string
local function here()
  local buf = api.nvim_get_current_buf()
  local row, col = unpack(api.nvim_win_get_cursor(0))
  return ("%d:%d:%d:%d"):format(buf, api.nvim_buf_get_changedtick(buf), row, col)
end

---@param asked fimble.Asked?
local function cancel(asked)
  if asked and asked.request and not asked.client:is_stopped() then
    local pending = asked.client.requests[asked.request]
    if pending and pending.type == "pending" then
      asked.client:cancel_request(asked.request)
    end
  end
end

--- Something was typed, or the cursor has moved.
function Completing:changed()
  if not inserting() then
    return
  end
  local place = here()
  if place == self.place then
    return
  end
  self.place = place
  self.candidates = nil
  self:draw()
  if self.automatic and self.server.enabled and vim.fn.reg_executing() == "" then
    self:ask(AUTOMATIC, true, function(items)
      self:answered(items)
    end)
  else
    self:cancel()
  end
end

--- The user has left the text: nothing is shown, nothing asked.
function Completing:left()
  self:cancel()
  self:hide()
  self.place = nil
end

--- A part of an answer has come.
---@param token any
---@param value { items: lsp.InlineCompletionItem[] }
function Completing:grown(token, value)
  local item = value.items[1]
  if not self.asked or token ~= self.asked.token or not item or not self:current(self.asked) then
    return
  end
  local suggestion = suggestions.new(api.nvim_get_current_buf(), item, self.asked.client.offset_encoding)
  local rest, shown = suggestion and suggestion:rest(), self:rest()
  if suggestion and rest and not (shown and vim.startswith(shown.text, rest.text)) then
    self:show(suggestion)
  elseif suggestion then
    suggestion:forget() -- what is shown says as much already
  end
end

--- Ask for a suggestion by hand.
function Completing:trigger()
  self:ask(INVOKED, true, function(items)
    self.candidates = items
    self:answered(items)
  end)
end

--- Show the candidate that comes `step` after the one that is shown.
---@param step 1|-1
function Completing:choose(step)
  if self.candidates and #self.candidates > 1 then
    self:candidate(step)
    return
  end
  self:ask(INVOKED, false, function(items)
    if #items > 0 then
      self.candidates = items
      self:candidate(step)
    end
  end)
end

--- Take the suggestion off the screen until the next key.
---@return boolean  whether there was one
function Completing:dismiss()
  local visible = self:visible()
  self:cancel()
  self:hide()
  return visible
end

---@return boolean
function Completing:visible()
  return self:rest() ~= nil
end

--- Take the suggestion, or the next part of it.
---@param unit fimble.Unit
---@return boolean  whether there was one
function Completing:accept(unit)
  local shown, rest = self.shown, self:rest()
  if not shown or not rest then
    return false
  end
  local piece = accepting.piece(rest.text, unit)
  accepting.insert(shown.buf, rest, piece)
  local client = self.server:client_of(shown.buf)
  if client then
    self:tell_shown(client)
    accepting.tell(client, shown, rest, piece)
  end
  self:changed()
  return true
end

--- The server has gone; what is under way is never answered.
function Completing:forget()
  self.asked = nil
  self:hide()
end

---@private
---@return fimble.Rest?
function Completing:rest()
  return self.shown and inserting() and self.shown:rest() or nil
end

---@private
---@param asked fimble.Asked
---@return boolean  whether it was asked for where the cursor is now
function Completing:current(asked)
  return inserting() and asked.place == here()
end

---@private
---@param kind integer
---@param streamed boolean
---@param answered fun(items: lsp.InlineCompletionItem[])
function Completing:ask(kind, streamed, answered)
  local buf = api.nvim_get_current_buf()
  local client = self.server:client_of(buf)
  if not client then
    return
  end
  local earlier = self.asked
  self.count = self.count + 1
  local asked = { client = client, token = "fimble/ghost/" .. self.count, place = here() }
  self.asked = asked
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding) --[[@as table<string, any>]]
  params.context = { triggerKind = kind }
  params.partialResultToken = streamed and asked.token or nil
  local sent, request = client:request(METHOD, params, function(problem, result)
    if self.asked ~= asked then
      return -- a newer one has been asked
    end
    self.asked = nil
    -- No result means that what is shown stays. Of problems the server tells the user itself.
    if not problem and type(result) == "table" and self:current(asked) then
      answered(result.items or result)
    end
  end, buf)
  asked.request = sent and request or nil
  cancel(earlier) -- only now: what is being written for it may serve the new one
end

--- Nobody waits for an answer any more.
---@private
function Completing:cancel()
  local asked = self.asked
  self.asked = nil
  cancel(asked)
end

---@private
---@param items lsp.InlineCompletionItem[]
function Completing:answered(items)
  self:show_item(items[1])
end

---@private
---@param step integer
function Completing:candidate(step)
  local candidates = assert(self.candidates)
  local index = 0
  for i, item in ipairs(candidates) do
    if self.shown and item.insertText == self.shown.item.insertText then
      index = i
    end
  end
  index = index == 0 and 1 or (index - 1 + step) % #candidates + 1
  self:show_item(candidates[index], (" (%d/%d)"):format(index, #candidates))
end

---@private
---@param item lsp.InlineCompletionItem?  nil where there is nothing to show
---@param hint string?
function Completing:show_item(item, hint)
  local buf = api.nvim_get_current_buf()
  local client = self.server:client_of(buf)
  local suggestion = item and client and suggestions.new(buf, item, client.offset_encoding)
  if not suggestion or not client then
    self:hide()
    return
  end
  self:show(suggestion, hint)
  self:tell_shown(client)
end

---@private
---@param suggestion fimble.Suggestion
---@param hint string?
function Completing:show(suggestion, hint)
  local before = self.shown
  suggestion.told = before ~= nil and before.told and before.id == suggestion.id
  self.shown = suggestion
  if before then
    before:forget()
  end
  self:draw(hint)
end

---@private
---@param client vim.lsp.Client
function Completing:tell_shown(client)
  if self.shown and not self.shown.told then
    self.shown.told = true
    client:notify(SHOWN, { item = self.shown.item })
  end
end

--- Draw what is left of the suggestion; where nothing is, it is gone for good.
---@private
---@param hint string?
function Completing:draw(hint)
  local shown, rest = self.shown, self:rest()
  if shown and rest then
    ghost.draw(shown.buf, rest, hint)
  else
    self:hide()
  end
end

---@private
function Completing:hide()
  if self.shown then
    ghost.clear(self.shown.buf)
    self.shown:forget()
    self.shown = nil
  end
  self.candidates = nil
end

return M

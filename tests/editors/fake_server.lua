-- Takes the place of the module `fimble.server`: keeps what it is asked, and answers when a test says so.

local fake = { requests = {}, said = {}, enabled = true }

local client = { id = 1, offset_encoding = "utf-8", initialized = true, requests = {}, attached_buffers = {} }

function client:is_stopped()
  return false
end

function client:request(method, params, handler)
  local id = #fake.requests + 1
  fake.requests[id] = { method = method, params = params, handler = handler }
  self.requests[id] = { type = "pending" }
  table.insert(fake.said, { "request", id })
  return true, id
end

function client:cancel_request(id)
  table.insert(fake.said, { "cancel", id })
end

function client:notify(method, params)
  table.insert(fake.said, { method, params })
end

function client:exec_cmd(command)
  table.insert(fake.said, { "command", command.arguments[1] })
end

local server = { status = { state = "ready" }, log = {}, enabled = true }

function server:client_of()
  return client
end

function server:client()
  return client
end

function server:attach() end

function server:attach_all() end

function server:configure() end

package.loaded["fimble.server"] = {
  new = function(options, listeners)
    server.options, fake.listeners = options, listeners
    return server
  end,
}

fake.client, fake.server = client, server

-- The text that each item has, from the byte `start` of the cursor's line up to `stop`.
local function items(texts, start, stop)
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local range = {
    start = { line = row - 1, character = start or col },
    ["end"] = { line = row - 1, character = stop or col },
  }
  local found = {}
  for i, text in ipairs(texts) do
    local command = { title = "Accept", command = "fimble.accept", arguments = { "id" .. i } }
    found[i] = { insertText = text, range = range, command = command }
  end
  return { items = found }
end

-- Answer the newest request, or the one with this number; without `texts`, with null.
function fake.answer(texts, start, stop, id)
  id = id or #fake.requests
  client.requests[id] = nil
  fake.requests[id].handler(nil, texts == vim.NIL and vim.NIL or items(texts, start, stop), {})
end

-- Answer it in part.
function fake.grow(text, start, stop, id)
  local params = fake.requests[id or #fake.requests].params
  fake.listeners.grown(params.partialResultToken, items({ text }, start, stop))
end

-- What is drawn: on the cursor's line with the text that is there, then the lines below.
function fake.drawn()
  local namespace = vim.api.nvim_get_namespaces()["fimble.ghost"]
  local line = vim.api.nvim_get_current_line()
  local below, hint = {}, ""
  local marks = vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })
  if #marks == 0 then
    return nil
  end
  for i = #marks, 1, -1 do
    local col, details = marks[i][3], marks[i][4]
    if details.virt_text and details.virt_text_pos == "inline" then
      line = ("%s‹%s›%s"):format(line:sub(1, col), details.virt_text[1][1], line:sub(col + 1))
    elseif details.virt_text and details.virt_text[1] then
      hint = details.virt_text[1][1]
    end
    for _, chunks in ipairs(details.virt_lines or {}) do
      below[#below + 1] = chunks[1][1] .. (chunks[2] and chunks[2][1] or "")
    end
  end
  return table.concat({ line .. hint, unpack(below) }, "\n")
end

_G.fake = fake

-- Put before every script. Scripts of a conversation take its keys in this order (log.py: conversation_keys).
local META, LOG, MEMBERS, READS, TURNS, DUE, DIRTY = unpack(KEYS, 1, 7)

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The log's position, and its meta fields from the fifth on as named; or nil and why nothing may be written.
local function position(...)
  local found = redis.call('HMGET', META, 'state', 'epoch', 'seq', 'chain', ...)
  if not found[1] then return nil, 'MISSING' end
  if found[1] ~= 'active' then return nil, 'DELETED' end
  return { epoch = tonumber(found[2]), seq = tonumber(found[3]), chain = found[4] }, found
end

-- The key of what gave way to another answer or an edit.
local function superseded_key()
  return (string.gsub(META, ':meta:', ':superseded:', 1))
end

-- Add one entry to the stream alone. The body is opaque; the chain is a running hash of all bodies.
local function add(at, kind, body, private)
  at.seq = at.seq + 1
  at.chain = string.sub(redis.sha1hex(at.chain .. body), 1, 16)
  local id = string.format('%d-0', at.seq)
  if private and private ~= '' then
    redis.call('XADD', LOG, id, 'k', kind, 'c', at.chain, 'b', body, 'x', private)
  else
    redis.call('XADD', LOG, id, 'k', kind, 'c', at.chain, 'b', body)
  end
end

-- Add one entry and keep the new position.
local function push(at, conversation_id, kind, body, private)
  add(at, kind, body, private)
  redis.call('HSET', META, 'seq', at.seq, 'chain', at.chain)
  return { at.seq, at.chain }
end

local function contains(list, wanted)
  for _, each in ipairs(list) do
    if each == wanted then return true end
  end
  return false
end

local function mark_dirty(conversation_id, now)
  redis.call('ZADD', DIRTY, 'NX', now, conversation_id)
end

-- The meta fields after so many new messages: the position, who wrote the newest (for if_seq), the sidebar's line.
-- `before` holds newest, newest_source and count; `source` names the device that wrote.
local function count_messages(at, added, before, source, preview, now)
  local fields = { 'seq', at.seq, 'chain', at.chain, 'newest', at.seq, 'preview', preview, 'active_ms', now,
    'count', (tonumber(before[3]) or 0) + added }
  if before[2] ~= source then
    fields[13], fields[14] = 'newest_source', source
    if before[1] then fields[15], fields[16] = 'newest_other', before[1] end
  end
  return fields
end

-- Count what is unread by whom; the author, or '', has read everything by writing.
local function count_unread(members, author, seq, added)
  for _, user in ipairs(members) do
    if user == author then
      redis.call('HSET', READS, 'r' .. user, seq, 'u' .. user, 0)
    else
      redis.call('HINCRBY', READS, 'u' .. user, added)
    end
  end
end

-- Unfinished turns in order: {turn_id, attempt, status, pieces, text, interrupts, answers}. Only the head has pieces.
local function unfinished_turns(tag)
  local list = {}
  for index, turn_id in ipairs(redis.call('LRANGE', TURNS, 0, 99)) do
    local turn = redis.call('HMGET', tag .. ':turn:' .. turn_id, 'attempt', 'status', 'interrupts', 'answers')
    local pieces = {}
    if index == 1 then pieces = redis.call('LRANGE', tag .. ':pieces:' .. turn_id, 0, -1) end
    list[index] = { turn_id, tonumber(turn[1]) or 0, turn[2] or 'queued', #pieces, table.concat(pieces), turn[3] or '[]',
      turn[4] or '' }
  end
  return list
end

-- Make the next queued turn due now, or leave the queue.
local function next_turn_due(conversation_id, now)
  if redis.call('LLEN', TURNS) > 0 then
    redis.call('ZADD', DUE, now, conversation_id)
  else
    redis.call('ZREM', DUE, conversation_id)
  end
end

-- Is this writer's attempt the current one of the head turn?
local function holds(turn_key, turn_id, attempt)
  return redis.call('HGET', turn_key, 'attempt') == attempt and redis.call('LINDEX', TURNS, 0) == turn_id
end

-- End a turn, wherever it stands in the queue: its message (if it has one), `turn.finished`, the next turn due.
-- turn: id, key, pieces and sent (keys), status, message ('' for none), message_id, finished, preview, usage, ttl.
-- Returns the entries: {seq, chain, body, kind} each.
local function end_turn(at, conversation_id, turn, now)
  local entries = {}
  local times = redis.call('HMGET', turn.key, 'queued_ms', 'started_ms', 'first_piece_ms')
  local private = string.format('{"queued_ms":%s,"started_ms":%s,"first_piece_ms":%s,"finished_ms":%d,"usage":%s}',
    times[1] or 'null', times[2] or 'null', times[3] or 'null', now, turn.usage)
  if turn.message ~= '' then
    local pushed = push(at, conversation_id, 'message', turn.message)
    entries[1] = { pushed[1], pushed[2], turn.message, 'message' }
    local before = redis.call('HMGET', META, 'newest', 'newest_source', 'count')
    redis.call('HSET', META, unpack(count_messages(at, 1, before, 'assistant', turn.preview, now)))
    count_unread(redis.call('HKEYS', MEMBERS), '', at.seq, 1)
  end
  local pushed = push(at, conversation_id, 'turn.finished', turn.finished, private)
  entries[#entries + 1] = { pushed[1], pushed[2], turn.finished, 'turn.finished' }
  redis.call('SET', turn.sent, string.format('%d %s %s', at.seq, turn.message_id, turn.status), 'EX', turn.ttl)
  local was_head = redis.call('LINDEX', TURNS, 0) == turn.id
  redis.call('LREM', TURNS, 1, turn.id)
  redis.call('DEL', turn.key, turn.pieces)
  if was_head then next_turn_due(conversation_id, now) end
  mark_dirty(conversation_id, now)
  return entries
end

-- End a turn that nobody is to go on with as cancelled, with what was written of its answer. Returns the entries.
-- by: device, at_text, message_id (should there be a message), tag, ttl.
local function end_cancelled(at, conversation_id, turn_id, by, now)
  local key, pieces = by.tag .. ':turn:' .. turn_id, by.tag .. ':pieces:' .. turn_id
  local text = table.concat(redis.call('LRANGE', pieces, 0, -1))
  local earlier = redis.call('HGET', key, 'written') -- by an attempt before this one
  if earlier and #earlier > #text then text = earlier end
  local message, preview, about = '', '', ''
  if text ~= '' then
    message = string.format('{"event":"message","at":"%s","data":{"message_id":"%s","role":"assistant",'
      .. '"author":"assistant","content":%s,"turn_id":"%s","status":"cancelled"}}', by.at_text, by.message_id,
      string.gsub(cjson.encode(text), '\\/', '/'), turn_id) -- an escaped slash is twice as long
    about = string.format(',"message_id":"%s"', by.message_id)
    -- As gist.py makes previews, but for Markdown: 120 characters, white space as single spaces.
    local words, count = string.sub(text, 1, 960), 0
    if #words < #text then words = string.gsub(words, '[\194-\244][\128-\191]*$', '') end -- maybe cut apart
    words = string.gsub(string.gsub(words, '^%s+', ''), '%s+', ' ')
    for character in string.gmatch(words, '[%z\1-\127\194-\244][\128-\191]*') do
      count = count + 1
      if count > 120 then break end
      preview = preview .. character
    end
  end
  return end_turn(at, conversation_id, {
    id = turn_id, key = key, pieces = pieces, sent = by.tag .. ':sent:' .. conversation_id .. ':assistant:' .. turn_id,
    status = 'cancelled', message = message, message_id = text ~= '' and by.message_id or '-', preview = preview,
    usage = '{}', ttl = by.ttl,
    finished = string.format('{"event":"turn.finished","at":"%s","data":{"turn_id":"%s","status":"cancelled"%s,"device_id":"%s"}}',
      by.at_text, turn_id, about, by.device),
  }, now)
end

-- Who answered what: `answers` of a turn is a row of {"interrupt_id":...,"value":...}, joined by commas.
local function answered_ids(turn_key)
  local ids = {}
  for _, answer in ipairs(cjson.decode('[' .. (redis.call('HGET', turn_key, 'answers') or '') .. ']')) do
    ids[answer.interrupt_id] = true
  end
  return ids
end

local function keep_answer(turn_key, answer)
  local before = redis.call('HGET', turn_key, 'answers')
  redis.call('HSET', turn_key, 'answers', before and before .. ',' .. answer or answer)
end

-- What changes without an entry: read positions and the state. The archiver compares it before and after copying.
local function stamp()
  return redis.sha1hex((redis.call('HGET', META, 'state') or '') .. table.concat(redis.call('HGETALL', READS), ' '))
end

-- Append messages of one user's device, in order and each once, and queue their turns.
-- KEYS[1] is the meta hash. The other keys follow from its name: this command is sent more often than all others.
-- ARGV: user, device, if_seq or '', retry or '', most messages, ttl, title; then for each message
-- client_id, message_id, turn_id or '', preview, body. With if_seq or retry there is one message only.
-- Replies OK, epoch, members, and a list with, for each message, {seq, chain, is_next}, {'<seq> <message id>'} or {} (no room).
local tag, conversation_id = string.match(KEYS[1], '^(.-):meta:(.+)$')
local function key(kind) return tag .. ':' .. kind .. ':' .. conversation_id end
LOG, MEMBERS, READS, TURNS = key('log'), key('members'), key('reads'), key('turns')
DUE, DIRTY = tag .. ':due', tag .. ':dirty'
local user, device, if_seq, retry, most, ttl, title = unpack(ARGV, 1, 7)

-- This runs for every message: locals are quicker than globals, and each call to Redis costs more than all else.
local call, sub, format, sha1hex = redis.call, string.sub, string.format, redis.sha1hex

local at, meta = position('newest', 'newest_source', 'count', 'title')
if not at then return { meta } end
local newest, newest_source, count, old_title = unpack(meta, 5, 8)
count, most = tonumber(count) or 0, tonumber(most)
local members = call('HKEYS', MEMBERS)
if not contains(members, user) then return { 'FORBIDDEN' } end
local sent = key('sent') .. ':' .. user .. ':'
local source, now = user .. ':' .. device, now_ms()

if (retry ~= '' or if_seq ~= '') and call('EXISTS', sent .. ARGV[8]) == 0 then
  local newest_other, born_ms = unpack(call('HMGET', META, 'newest_other', 'born_ms'))
  -- Redis forgets client_ids after the ttl, and with a rebuilt log: then only the archive knows.
  if retry ~= '' and now - (tonumber(born_ms) or 0) > ttl * 1000 then return { 'ASK_ARCHIVE' } end
  local others = newest
  if newest_source == source then others = newest_other end
  if if_seq ~= '' and tonumber(if_seq) < (tonumber(others) or 0) then
    return { 'CONFLICT', at.epoch, at.seq, at.chain }
  end
end

local function queue_turn(turn_id, seq)
  call('HSET', tag .. ':turn:' .. turn_id,
    'seq', seq, 'user', user, 'device', device, 'status', 'queued', 'attempt', 0, 'queued_ms', now)
  if call('RPUSH', TURNS, turn_id) > 1 then return 0 end
  call('ZADD', DUE, now, conversation_id)
  return 1
end

local results, before, shown = {}, at.seq, ''
local seq, chain = at.seq, at.chain
for i = 8, #ARGV, 5 do
  local client_id, message_id, turn_id, preview, body = unpack(ARGV, i, i + 4)
  local first, result = nil, {}
  local has_room = count + seq - before < most
  if has_room then
    first = call('SET', sent .. client_id, format('%d %s', seq + 1, message_id), 'NX', 'GET', 'EX', ttl)
  else
    first = call('GET', sent .. client_id)
  end
  if first then
    result[1] = first
  elseif has_room then
    seq, chain = seq + 1, sub(sha1hex(chain .. body), 1, 16)
    call('XADD', LOG, seq .. '-0', 'k', 'message', 'c', chain, 'b', body)
    result = { seq, chain, turn_id ~= '' and queue_turn(turn_id, seq) or 0 }
    shown = preview
  end
  results[#results + 1] = result
end

if seq > before then
  at.seq, at.chain = seq, chain
  local fields = count_messages(at, seq - before, { newest, newest_source, count }, source, shown, now)
  if not old_title or old_title == '' then
    for _, field in ipairs({ 'title', title, 'first_words', title }) do fields[#fields + 1] = field end
  end
  call('HSET', META, unpack(fields))
  count_unread(members, user, seq, seq - before)
  mark_dirty(conversation_id, now)
  -- Whoever writes while a turn waits for a person has declined it.
  local waiting = call('LINDEX', TURNS, 0)
  waiting = waiting and tag .. ':turn:' .. waiting
  if waiting and call('HGET', waiting, 'status') == 'waiting' then
    call('HSET', waiting, 'status', 'queued', 'declined_by', device)
    call('ZADD', DUE, now, conversation_id)
  end
end
return { 'OK', at.epoch, members, results }

-- Hide a conversation at once, end its turns as cancelled, with what was written of an answer, and put it on the list to
-- erase; once for each command.
-- KEYS[8] erase, KEYS[9] sent.
-- ARGV: alone is 'alone' or ''; message_id is for what was written. Returns entries {seq, chain, body, kind, turn or ''}.
local conversation_id, user, body, at_text, device, delay_ms, tag, alone, ttl, message_id, turn_ttl = unpack(ARGV, 1, 11)
local at, refusal = position()
if refusal == 'DELETED' and redis.call('HGET', MEMBERS, user) == 'owner' and redis.call('ZSCORE', KEYS[8], conversation_id) then
  return { 'OK', 0, {}, redis.call('HKEYS', MEMBERS) } -- a repeat, whose first reply was lost
end
if not at then return { refusal } end
if redis.call('HGET', MEMBERS, user) ~= 'owner' then return { 'FORBIDDEN' } end
-- A repeat of what was restored since.
if redis.call('EXISTS', KEYS[9]) == 1 then return { 'OK', at.epoch, {}, {} } end
if alone == 'alone' and redis.call('HLEN', MEMBERS) > 1 then return { 'AGAIN' } end
local entries, now = {}, now_ms()
local by = { device = device, at_text = at_text, message_id = message_id, tag = tag, ttl = turn_ttl }
for _, turn_id in ipairs(redis.call('LRANGE', TURNS, 0, -1)) do
  for _, entry in ipairs(end_cancelled(at, conversation_id, turn_id, by, now)) do
    entry[5] = turn_id
    entries[#entries + 1] = entry
  end
end
local pushed = push(at, conversation_id, 'conversation.deleted', body)
entries[#entries + 1] = { pushed[1], pushed[2], body, 'conversation.deleted', '' }
redis.call('DEL', TURNS)
redis.call('ZREM', DUE, conversation_id)
redis.call('HSET', META, 'state', 'deleted')
redis.call('SET', KEYS[9], string.format('%d -', at.seq), 'EX', ttl)
redis.call('ZADD', KEYS[8], now + delay_ms, conversation_id)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, entries, redis.call('HKEYS', MEMBERS) }

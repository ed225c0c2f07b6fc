-- Hide a conversation at once, end its turns as cancelled, and put it on the list to erase; once for each command.
-- KEYS[8] erase, KEYS[9] sent.
local conversation_id, user, body, at_text, device, delay_ms, tag, alone, ttl = unpack(ARGV, 1, 9) -- alone: 'alone' or ''
local at, refusal = position()
if refusal == 'DELETED' and redis.call('HGET', MEMBERS, user) == 'owner' and redis.call('ZSCORE', KEYS[8], conversation_id) then
  return { 'OK', 0, {}, redis.call('HKEYS', MEMBERS) } -- a repeat, whose first reply was lost
end
if not at then return { refusal } end
if redis.call('HGET', MEMBERS, user) ~= 'owner' then return { 'FORBIDDEN' } end
-- A repeat of what was restored since.
if redis.call('EXISTS', KEYS[9]) == 1 then return { 'OK', at.epoch, {}, {} } end
if alone == 'alone' and redis.call('HLEN', MEMBERS) > 1 then return { 'AGAIN' } end
local entries = {}
for index, turn_id in ipairs(redis.call('LRANGE', TURNS, 0, -1)) do
  local finished = string.format(
    '{"event":"turn.finished","at":"%s","data":{"turn_id":"%s","status":"cancelled","device_id":"%s"}}',
    at_text, turn_id, device)
  local pushed = push(at, conversation_id, 'turn.finished', finished)
  entries[index] = { pushed[1], pushed[2], turn_id, finished }
  redis.call('DEL', tag .. ':turn:' .. turn_id, tag .. ':pieces:' .. turn_id)
end
local pushed = push(at, conversation_id, 'conversation.deleted', body)
entries[#entries + 1] = { pushed[1], pushed[2], '', body }
local now = now_ms()
redis.call('DEL', TURNS)
redis.call('ZREM', DUE, conversation_id)
redis.call('HSET', META, 'state', 'deleted')
redis.call('SET', KEYS[9], string.format('%d -', at.seq), 'EX', ttl)
redis.call('ZADD', KEYS[8], now + delay_ms, conversation_id)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, entries, redis.call('HKEYS', MEMBERS) }

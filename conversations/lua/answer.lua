-- A person's answer to a question that a turn waits for: the first wins. Once all are answered the turn is due.
-- KEYS[8] turn, KEYS[9] sent (of the command), KEYS[10] sent (the assistant's, by turn).
-- ARGV: conversation, user, turn, interrupt, body, answer as JSON {interrupt_id, value}, ttl.
-- Returns {'OK', epoch, entries, members, 1 if the turn is due now, its attempts}, {'UNKNOWN'} for a turn that is not here.
local conversation_id, user, turn_id, interrupt_id, body, answer, ttl = unpack(ARGV, 1, 7)
local at, refusal = position()
if not at then return { refusal } end
local role = redis.call('HGET', MEMBERS, user)
if not role then return { 'FORBIDDEN' } end
if redis.call('EXISTS', KEYS[9]) == 1 then return { 'OK', at.epoch, {}, {}, 0, 0 } end
local turn = redis.call('HMGET', KEYS[8], 'user', 'status', 'attempt', 'interrupts')
if not turn[1] or not redis.call('LPOS', TURNS, turn_id) then
  if redis.call('EXISTS', KEYS[10]) == 0 then return { 'UNKNOWN' } end
  return { 'CONFLICT', at.epoch, at.seq, at.chain }
end
if role ~= 'owner' and turn[1] ~= user then return { 'FORBIDDEN' } end
if turn[2] ~= 'waiting' then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
local answered, is_asked, still_open = answered_ids(KEYS[8]), false, 0
for _, interrupt in ipairs(cjson.decode(turn[4] or '[]')) do
  if interrupt.id == interrupt_id then
    is_asked = true
  elseif not answered[interrupt.id] then
    still_open = still_open + 1
  end
end
-- A question that it does not ask may be an earlier one, whose answer came first.
if not is_asked or answered[interrupt_id] then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
local now = now_ms()
keep_answer(KEYS[8], answer)
if still_open == 0 then
  redis.call('HSET', KEYS[8], 'status', 'queued')
  redis.call('ZADD', DUE, now, conversation_id)
end
local pushed = push(at, conversation_id, 'turn.answered', body)
redis.call('SET', KEYS[9], string.format('%d -', at.seq), 'EX', ttl)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, { { pushed[1], pushed[2], body, 'turn.answered' } }, redis.call('HKEYS', MEMBERS),
  still_open == 0 and 1 or 0, tonumber(turn[3]) }

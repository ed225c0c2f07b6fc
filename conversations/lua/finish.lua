-- End a turn under the fence, all or nothing, once. KEYS[8] turn, KEYS[9] pieces, KEYS[10] sent (the assistant's, by turn).
-- ARGV: conversation, turn, attempt, message body or '', message_id, finished body, preview, usage, ttl, status,
-- language or ''.
-- A turn that somebody has cancelled ends in no other way: {'CANCELLED', device}.
local conversation_id, turn_id, attempt, status = ARGV[1], ARGV[2], ARGV[3], ARGV[10]
local first = redis.call('GET', KEYS[10])
if first then return { 'DUPLICATE', first } end
local at, refusal = position()
if not at then return { refusal } end
if not holds(KEYS[8], turn_id, attempt) then return { 'FENCED' } end
local cancelled_by = redis.call('HGET', KEYS[8], 'cancelled_by')
if cancelled_by and status ~= 'cancelled' then return { 'CANCELLED', cancelled_by } end
local entries = end_turn(at, conversation_id, {
  id = turn_id, key = KEYS[8], pieces = KEYS[9], sent = KEYS[10], status = status, message = ARGV[4],
  message_id = ARGV[5], finished = ARGV[6], preview = ARGV[7], usage = ARGV[8], ttl = ARGV[9],
}, now_ms())
if ARGV[11] ~= '' then redis.call('HSET', META, 'language', ARGV[11]) end
return { 'OK', at.epoch, entries, redis.call('HKEYS', MEMBERS) }

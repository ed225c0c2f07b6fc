-- End a turn: its final message, `turn.finished`, and the next turn due, all or nothing, once.
-- KEYS[8] turn, KEYS[9] pieces, KEYS[10] sent (the assistant's, by turn).
-- ARGV: conversation, turn, attempt, message body or '', message_id, finished body, preview, private facts, ttl, language or ''.
local conversation_id, turn_id, attempt, message, message_id, finished, preview, private, ttl =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local first = redis.call('GET', KEYS[10])
if first then return { 'DUPLICATE', first } end
local at, refusal = position()
if not at then return { refusal } end
if not holds(KEYS[8], turn_id, attempt) then return { 'FENCED' } end
local now = now_ms()
local entries = {}
local times = redis.call('HMGET', KEYS[8], 'queued_ms', 'started_ms', 'first_piece_ms')
private = string.format('{"queued_ms":%s,"started_ms":%s,"first_piece_ms":%s,"finished_ms":%d,"usage":%s}',
  times[1] or 'null', times[2] or 'null', times[3] or 'null', now, private)
local members = redis.call('HKEYS', MEMBERS)
if message ~= '' then
  local pushed = push(at, conversation_id, 'message', message)
  entries[1] = { pushed[1], pushed[2], message }
  local before = redis.call('HMGET', META, 'newest', 'newest_source', 'count')
  redis.call('HSET', META, unpack(count_messages(at, 1, before, 'assistant', preview, now)))
  count_unread(members, '', at.seq, 1)
end
local pushed = push(at, conversation_id, 'turn.finished', finished, private)
entries[#entries + 1] = { pushed[1], pushed[2], finished }
if ARGV[10] ~= '' then redis.call('HSET', META, 'language', ARGV[10]) end
redis.call('SET', KEYS[10], string.format('%d %s', at.seq, message_id), 'EX', ttl)
redis.call('LPOP', TURNS)
redis.call('DEL', KEYS[8], KEYS[9])
next_turn_due(conversation_id, now)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, entries, members }

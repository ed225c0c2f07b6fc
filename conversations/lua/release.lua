-- Give up the lease without ending the turn: due now for another node, or waiting for a person.
-- KEYS[8] turn. ARGV: conversation, turn, attempt, 'queued' or 'waiting', entry kind or '', body, interrupts.
-- A turn that somebody has cancelled does not begin to wait: {'CANCELLED', device}.
local conversation_id, turn_id, attempt, status, kind, body, interrupts =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local at, refusal = position()
if not at then return { refusal } end
if not holds(KEYS[8], turn_id, attempt) then return { 'FENCED' } end
-- A repeat, whose first reply was lost, changes nothing.
if redis.call('HGET', KEYS[8], 'released') == attempt then return { 'OK', at.epoch, {}, {} } end
local cancelled_by = redis.call('HGET', KEYS[8], 'cancelled_by')
if cancelled_by and status == 'waiting' then return { 'CANCELLED', cancelled_by } end
redis.call('HSET', KEYS[8], 'released', attempt)
local now = now_ms()
-- What was asked while the turn ran counts as the answer: whoever writes on has declined.
local written_on = status == 'waiting' and redis.call('LLEN', TURNS) > 1
redis.call('HSET', KEYS[8], 'status', status)
if status == 'waiting' then redis.call('HDEL', KEYS[8], 'answers', 'declined_by') end
if interrupts ~= '' then redis.call('HSET', KEYS[8], 'interrupts', interrupts) end
if written_on then
  local next_turn = string.match(KEYS[8], '^(.*:turn:)') .. redis.call('LINDEX', TURNS, 1)
  redis.call('HSET', KEYS[8], 'status', 'queued', 'declined_by', redis.call('HGET', next_turn, 'device') or '-')
  redis.call('ZADD', DUE, now, conversation_id)
elseif status == 'waiting' then
  redis.call('ZADD', DUE, '+inf', conversation_id)
else
  redis.call('ZADD', DUE, now, conversation_id)
end
if kind == '' then return { 'OK', at.epoch, {}, {} } end
local pushed = push(at, conversation_id, kind, body)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, { { pushed[1], pushed[2], body } }, redis.call('HKEYS', MEMBERS) }

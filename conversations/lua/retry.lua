-- Queue another turn for a message that was said before. KEYS[8] turn (new), KEYS[9] sent (of the command).
-- ARGV: conversation, user who asked, message seq, turn, device, ttl. Only while no turn is in flight.
-- Returns {'OK', turn}, also for a repeat.
local conversation_id, user, seq, turn_id, device, ttl = unpack(ARGV, 1, 6)
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end
local first = redis.call('GET', KEYS[9])
if first then return { 'OK', string.match(first, '%S+$') } end
if redis.call('LLEN', TURNS) > 0 then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
local now = now_ms()
redis.call('HSET', KEYS[8], 'seq', seq, 'user', user, 'device', device, 'status', 'queued', 'attempt', 0, 'queued_ms', now)
redis.call('RPUSH', TURNS, turn_id)
redis.call('ZADD', DUE, now, conversation_id)
redis.call('SET', KEYS[9], string.format('%d %s', at.seq, turn_id), 'EX', ttl)
return { 'OK', turn_id }

-- Take the head turn if it is due, under the next attempt. KEYS[8] turn, KEYS[9] pieces.
-- ARGV: conversation, turn, attempt expected so far, node, lease_ms, body of turn.started,
-- patient ('1': leave the lapsed leases of other nodes alone).
-- Returns {1, epoch, seq, chain, user, message seq, declined_by, interrupts, members, answers, lapses,
-- the longest text of an earlier attempt or ''}
-- or {0, head turn, its attempt, 1 if it is leased, 2 if it was cancelled and only has to be ended}.
local conversation_id, turn_id, expected, node, lease_ms, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local at = position()
if not at then
  redis.call('ZREM', DUE, conversation_id)
  return { 0, '', 0, -1 }
end
local head = redis.call('LINDEX', TURNS, 0)
if not head then
  redis.call('ZREM', DUE, conversation_id)
  return { 0, '', 0, -1 }
end
local now = now_ms()
local score = tonumber(redis.call('ZSCORE', DUE, conversation_id)) or now
local turn_key = string.match(KEYS[8], '^(.*:turn:)') .. head
local attempt = redis.call('HGET', turn_key, 'attempt') or '0'
if head ~= turn_id or attempt ~= expected or score > now then
  return { 0, head, tonumber(attempt), score > now and 1 or 0 }
end
if redis.call('HEXISTS', KEYS[8], 'cancelled_by') == 1 then return { 0, head, tonumber(attempt), 2 } end
-- Whoever releases a turn says so in its status: one that still runs was left by a node that died or was cut off.
local held = redis.call('HMGET', KEYS[8], 'status', 'node')
if held[1] == 'running' then
  if ARGV[7] == '1' and held[2] ~= node then return { 0, head, tonumber(attempt), 1 } end
  redis.call('HINCRBY', KEYS[8], 'lapses', 1)
end
redis.call('HSET', KEYS[8], 'attempt', attempt + 1, 'status', 'running', 'node', node)
redis.call('HSETNX', KEYS[8], 'started_ms', now)
redis.call('ZADD', DUE, now + lease_ms, conversation_id)
-- What an earlier attempt wrote is what a cancel keeps until this one has written more (shared.lua: end_cancelled).
local written = table.concat(redis.call('LRANGE', KEYS[9], 0, -1))
if #written > redis.call('HSTRLEN', KEYS[8], 'written') then redis.call('HSET', KEYS[8], 'written', written) end
redis.call('DEL', KEYS[9])
push(at, conversation_id, 'turn.started', body)
mark_dirty(conversation_id, now)
local turn = redis.call('HMGET', KEYS[8], 'user', 'seq', 'declined_by', 'interrupts', 'answers', 'lapses', 'written')
return { 1, at.epoch, at.seq, at.chain, turn[1], tonumber(turn[2]), turn[3] or '', turn[4] or '[]',
  redis.call('HKEYS', MEMBERS), turn[5] or '', tonumber(turn[6]) or 0, turn[7] or '' }

-- Append an entry that a command asked for, once, and keep one fact of it in the meta hash. KEYS[8] sent.
local conversation_id, user, role, kind, body, field, value, ttl =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local at, refusal = position()
if not at then return { refusal } end
local held = redis.call('HGET', MEMBERS, user)
if not held or (role ~= '' and held ~= role) then return { 'FORBIDDEN' } end
local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', first } end
push(at, conversation_id, kind, body)
redis.call('SET', KEYS[8], string.format('%d -', at.seq), 'EX', ttl)
if field ~= '' then redis.call('HSET', META, field, value) end
mark_dirty(conversation_id, now_ms())
return { 'OK', at.epoch, at.seq, at.chain, redis.call('HKEYS', MEMBERS) }

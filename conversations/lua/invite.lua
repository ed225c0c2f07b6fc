-- Make a user a member, once for each command. What was said before is read, so nothing is unread. KEYS[8] sent.
-- ARGV: conversation, owner, user, body, most members, ttl.
-- Replies OK, epoch, seq, chain, members; DUPLICATE, epoch, seq (0: was a member before); FULL.
local conversation_id, owner, user, body, most, ttl =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HGET', MEMBERS, owner) ~= 'owner' then return { 'FORBIDDEN' } end
local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', at.epoch, tonumber(string.match(first, '^%d+')) } end
if redis.call('HEXISTS', MEMBERS, user) == 1 then
  redis.call('SET', KEYS[8], '0 -', 'EX', ttl)
  return { 'DUPLICATE', at.epoch, 0 }
end
if redis.call('HLEN', MEMBERS) >= most then return { 'FULL' } end
redis.call('HSET', MEMBERS, user, 'member')
push(at, conversation_id, 'member.joined', body)
redis.call('HSET', READS, 'r' .. user, at.seq, 'u' .. user, 0, 'j' .. user, at.seq)
redis.call('SET', KEYS[8], string.format('%d -', at.seq), 'EX', ttl)
mark_dirty(conversation_id, now_ms())
return { 'OK', at.epoch, at.seq, at.chain, redis.call('HKEYS', MEMBERS) }

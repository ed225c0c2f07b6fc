-- Take a member out, once for each command: by itself, or by the owner. KEYS[8] sent.
-- ARGV: conversation, who asks, who goes, the role that one is believed to have, who owns it afterwards or '', body, ttl.
-- Replies OK, epoch, seq, chain, members who stay; DUPLICATE, epoch, seq; ABSENT; or, where the belief is wrong,
-- AGAIN, members (user, role), reads (name, value).
local conversation_id, actor, user, believed, heir, body, ttl = unpack(ARGV, 1, 7)
local at, refusal = position()
if not at then return { refusal } end
-- Before the membership: whoever left is no member any more, and may not have heard that it was done.
local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', at.epoch, tonumber(string.match(first, '^%d+')) } end
local held = redis.call('HGET', MEMBERS, actor)
if not held or (actor ~= user and held ~= 'owner') then return { 'FORBIDDEN' } end
local role = redis.call('HGET', MEMBERS, user)
if not role then return { 'ABSENT' } end
if role ~= believed or (heir ~= '' and redis.call('HEXISTS', MEMBERS, heir) == 0) then
  return { 'AGAIN', redis.call('HGETALL', MEMBERS), redis.call('HGETALL', READS) }
end
redis.call('HDEL', MEMBERS, user)
redis.call('HDEL', READS, 'r' .. user, 'u' .. user, 'j' .. user)
if heir ~= '' then redis.call('HSET', MEMBERS, heir, 'owner') end
push(at, conversation_id, 'member.left', body)
redis.call('SET', KEYS[8], string.format('%d -', at.seq), 'EX', ttl)
mark_dirty(conversation_id, now_ms())
return { 'OK', at.epoch, at.seq, at.chain, redis.call('HKEYS', MEMBERS) }

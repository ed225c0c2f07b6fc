-- A member has read up to a seq: never backwards. Returns {seq, unread}. ARGV: user, seq.
local user, seq = ARGV[1], tonumber(ARGV[2])
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end
if seq > at.seq then seq = at.seq end
local known = tonumber(redis.call('HGET', READS, 'r' .. user)) or 0
if seq <= known then return { 'OK', known, tonumber(redis.call('HGET', READS, 'u' .. user)) or 0 } end
local unread = 0
for _, entry in ipairs(redis.call('XRANGE', LOG, string.format('(%d-0', seq), '+', 'COUNT', 1000)) do
  if entry[2][2] == 'message' then unread = unread + 1 end
end
redis.call('HSET', READS, 'r' .. user, seq, 'u' .. user, unread)
mark_dirty(ARGV[3], now_ms())
return { 'OK', seq, unread }

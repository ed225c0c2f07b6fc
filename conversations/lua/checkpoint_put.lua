-- Store one checkpoint and make it the head, if the writer's attempt is the current one.
-- KEYS: turn, heads, order, document, writes of the parent, document of the parent.
-- ARGV: attempt or '', ttl_ms, ns, id, turn id, document (a JSON object).
local turn, heads, order, document = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local attempt, ttl_ms = ARGV[1], ARGV[2]
if attempt ~= '' and redis.call('HGET', turn, 'attempt') ~= attempt then
  return redis.error_reply('FENCED another attempt writes this turn')
end
-- The place in the order comes from here, never from ids, which carry the nodes' clocks.
local time = redis.call('TIME')
local at = time[1] * 1000000 + time[2]
local last = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= at then at = tonumber(last[2]) + 1 end
local place = string.format('%.0f', at)
redis.call('JSON.SET', document, '$', string.sub(ARGV[6], 1, -2) .. ',"checkpoint_ts":' .. place .. '}')
redis.call('HSET', heads, ARGV[3], ARGV[4])
redis.call('ZADD', order, 'NX', place, ARGV[5] .. '|' .. ARGV[3] .. ':' .. ARGV[4])
-- The parent too: while it waited for a person it was kept for ever.
for index = 2, 6 do redis.call('PEXPIRE', KEYS[index], ttl_ms) end
-- Progress: the leases that lapsed before (claim.lua) count no more. A first attempt has none to forget.
if attempt ~= '' and attempt ~= '1' then redis.call('HDEL', turn, 'lapses') end
return place

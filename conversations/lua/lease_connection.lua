-- Admit one connection where fewer than `limit` are alive; what was not renewed in time does not count.
-- KEYS[1] ZSET of connections   ARGV[1] member   ARGV[2] limit   ARGV[3] lease in ms
-- Returns 1 where admitted, else 0.
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1

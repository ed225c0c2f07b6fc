-- Take tokens from a bucket that fills by itself; all times are this Redis' own.
-- KEYS[1] the bucket   ARGV[1] what it holds when full   ARGV[2] tokens it gains a second
-- ARGV[3] tokens wanted   ARGV[4] tokens below which nothing is taken
-- Returns how many were taken, and the ms until what was asked for but not taken would be there.
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, least = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if stored[1] then
  local passed = math.max(0, now - tonumber(stored[2]))
  tokens = math.min(capacity, tonumber(stored[1]) + passed / 1000000 * rate)
end
local taken = math.min(wanted, math.floor(tokens))
if taken < least then
  return { 0, math.ceil((least - tokens) / rate * 1000) }
end
tokens = tokens - taken
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate * 1000))
if taken == wanted then
  return { taken, 0 }
end
return { taken, math.ceil((1 - tokens) / rate * 1000) }

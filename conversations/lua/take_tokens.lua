-- Take tokens from a bucket that fills by itself; all times are this Redis' own.
-- KEYS[1] the bucket   ARGV[1] what it holds when full   ARGV[2] tokens it gains a second   ARGV[3] tokens wanted
-- Returns 0 where granted, else the ms until it would be.
local capacity, rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if stored[1] then
  local passed = math.max(0, now - tonumber(stored[2]))
  tokens = math.min(capacity, tonumber(stored[1]) + passed / 1000000 * rate)
end
-- Who wants more than the bucket ever holds needs a full one, and leaves it in debt.
local needed = math.min(wanted, capacity)
if tokens < needed then
  return math.ceil((needed - tokens) / rate * 1000)
end
tokens = tokens - wanted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate * 1000))
return 0

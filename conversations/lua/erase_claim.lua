-- From now on nobody can restore it. KEYS[1] erase, KEYS[2] erasing. ARGV: conversation. Returns whether it was due.
local due = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]))
if not due or due > now_ms() then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], due, ARGV[1])
return 1

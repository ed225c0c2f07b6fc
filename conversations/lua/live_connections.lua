-- KEYS[1] ZSET of connections. Returns the members that are alive, the one that lapses last at the end.
local now = now_ms()
return redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE')

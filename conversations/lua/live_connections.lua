-- KEYS[1] ZSET of connections. Returns the members that are alive, the one that lapses last at the end.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE')

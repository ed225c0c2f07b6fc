-- Store the pending writes of one task, if the writer's attempt is the current one.
-- KEYS: turn, heads, order, document, writes. ARGV: attempt or '', ttl_ms, replace ('1' or '0'),
-- waits ('1' when an interrupt is among them), then pairs of field and JSON.
local turn, heads, order, document, writes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local attempt, ttl_ms, replace, waits = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if attempt ~= '' and redis.call('HGET', turn, 'attempt') ~= attempt then
  return redis.error_reply('FENCED another attempt writes this turn')
end
local set = replace == '1' and 'HSET' or 'HSETNX'
for index = 5, #ARGV, 2 do redis.call(set, writes, ARGV[index], ARGV[index + 1]) end
if waits == '1' then
  for index = 2, 5 do redis.call('PERSIST', KEYS[index]) end
elseif redis.call('PTTL', document) ~= -1 then
  for index = 2, 5 do redis.call('PEXPIRE', KEYS[index], ttl_ms) end
end
-- A task that has ended is progress (checkpoint_put.lua); an interrupt, an error or an answer is none.
if replace ~= '1' and attempt ~= '' and attempt ~= '1' then redis.call('HDEL', turn, 'lapses') end
return #ARGV

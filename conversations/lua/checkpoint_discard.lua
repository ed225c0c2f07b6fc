-- Drop every checkpoint of a thread, if the writer's attempt is the current one. KEYS: turn, heads, order.
-- ARGV: attempt or '', ttl_ms, prefix of documents, prefix of writes.
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then
  return redis.error_reply('FENCED another attempt writes this turn')
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local name = string.sub(member, string.find(member, '|', 1, true) + 1)
  redis.call('UNLINK', ARGV[3] .. name, ARGV[4] .. name)
end
return redis.call('UNLINK', KEYS[2], KEYS[3])

-- Drop every checkpoint of a thread. KEYS: heads, order, and what goes along. ARGV: prefix of documents, prefix of writes.
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local name = string.sub(member, string.find(member, '|', 1, true) + 1)
  redis.call('UNLINK', ARGV[1] .. name, ARGV[2] .. name)
end
return redis.call('UNLINK', unpack(KEYS))

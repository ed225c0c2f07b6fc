-- Drop everything of a thread but the newest checkpoint of each namespace, with its writes.
-- KEYS: heads, order. ARGV: prefix of documents, prefix of writes. Returns how many went.
local dropped = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local name = string.sub(member, string.find(member, '|', 1, true) + 1)
  local ns, id = string.match(name, '^(.*):([^:]*)$')
  if redis.call('HGET', KEYS[1], ns) ~= id then
    redis.call('UNLINK', ARGV[1] .. name, ARGV[2] .. name)
    redis.call('ZREM', KEYS[2], member)
    dropped = dropped + 1
  end
end
return dropped

-- Return {document, pending writes} of one checkpoint, the head if no id is given, and refresh its time to live.
-- KEYS: heads, order. ARGV: ttl_ms, ns, id or '', prefix of documents, prefix of writes.
local ttl_ms, ns, id = ARGV[1], ARGV[2], ARGV[3]
if id == '' then id = redis.call('HGET', KEYS[1], ns) end
if not id then return false end
local document, writes = ARGV[4] .. ns .. ':' .. id, ARGV[5] .. ns .. ':' .. id
local found = redis.call('JSON.GET', document)
if not found then return false end
-- Without a time to live it waits for a person; leave that so. A fresh one is not touched: reading stays a read.
for _, key in ipairs({ KEYS[1], KEYS[2], document, writes }) do
  local left = redis.call('PTTL', key)
  if left > 0 and left < 0.9 * ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
end
return { found, redis.call('HVALS', writes) }

-- Add an entry to a user's feed. KEYS: feed stream, feed meta, told (or the meta again where there is no head).
-- ARGV: kind, body, head seq or '', least gap in ms, most entries.
-- Returns {1, epoch, seq, chain}, {0} if this head was told already, {-1} if it is too soon.
local kind, body, head, gap, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local now = now_ms()
if head ~= '' then
  local told = redis.call('HMGET', KEYS[3], 'head', 'ms')
  if told[1] and tonumber(told[1]) >= tonumber(head) then return { 0 } end
  if told[2] and now - tonumber(told[2]) < gap then return { -1 } end
  -- What is told of a new conversation (head 0) keeps nobody from telling its first message at once.
  redis.call('HSET', KEYS[3], 'head', head, 'ms', head == '0' and 0 or now)
  redis.call('EXPIRE', KEYS[3], 86400)
end
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'chain')
local epoch, seq, chain = meta[1] or now, (tonumber(meta[2]) or 0) + 1, meta[3] or '0000000000000000'
chain = string.sub(redis.sha1hex(chain .. body), 1, 16)
redis.call('XADD', KEYS[1], 'MAXLEN', '~', most, string.format('%d-0', seq), 'c', chain, 'b', body)
redis.call('HSET', KEYS[2], 'epoch', epoch, 'seq', seq, 'chain', chain)
return { 1, tonumber(epoch), seq, chain }

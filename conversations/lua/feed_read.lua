-- Entries of a feed after a cursor. KEYS: feed stream, feed meta. ARGV: epoch, seq, chain ('' all: only the head), most.
-- Returns {epoch, seq, chain, entries or false where the cursor is of no use}.
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'seq', 'chain')
if not meta[1] then
  meta = { now_ms(), 0, '0000000000000000' }
  redis.call('HSET', KEYS[2], 'epoch', meta[1], 'seq', 0, 'chain', meta[3])
end
local epoch, head, chain = tonumber(meta[1]), tonumber(meta[2]), meta[3]
local seq = tonumber(ARGV[2])
if not seq then return { epoch, head, chain, {} } end
if tonumber(ARGV[1]) ~= epoch or seq > head then return { epoch, head, chain, false } end
if seq == head then
  if ARGV[3] ~= chain then return { epoch, head, chain, false } end
  return { epoch, head, chain, {} }
end
if seq > 0 then
  local id = string.format('%d-0', seq)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if not entry or entry[2][2] ~= ARGV[3] then return { epoch, head, chain, false } end
end
local entries = {}
for index, entry in ipairs(redis.call('XRANGE', KEYS[1], string.format('%d-0', seq + 1), '+', 'COUNT', ARGV[4])) do
  entries[index] = { tonumber(string.match(entry[1], '^%d+')), entry[2][2], entry[2][4] }
end
if #entries > 0 and entries[1][1] ~= seq + 1 then return { epoch, head, chain, false } end
return { epoch, head, chain, entries }

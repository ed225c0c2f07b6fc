-- Put a log in place: what the archive knows is its base, entries that only the old log had follow it.
-- The old one must still be as the caller saw it. KEYS[8] parked, KEYS[9] erasing.
-- ARGV: conversation, tag, old epoch and seq ('' both: none there), epoch, seq, chain, cleared, born_ms, then lists,
-- each after its length: meta fields (name, value), members (user, role), reads (name, value),
-- entries (kind, body, private facts), sent keys (key, value, ttl), unfinished turns (id, seq, user, attempts),
-- what gave way (last seq, range).
-- Returns 1, or 0 where the old log has moved on.
local conversation_id, tag = ARGV[1], ARGV[2]
local old = redis.call('HMGET', META, 'epoch', 'seq')
if (old[1] or '') ~= ARGV[3] or (old[2] or '') ~= ARGV[4] then return 0 end
if redis.call('ZSCORE', KEYS[9], conversation_id) then return 0 end
for _, turn_id in ipairs(redis.call('LRANGE', TURNS, 0, -1)) do
  redis.call('DEL', tag .. ':turn:' .. turn_id, tag .. ':pieces:' .. turn_id)
end
redis.call('DEL', META, LOG, MEMBERS, READS, TURNS, superseded_key())

local index = 10
local function take(width)
  local records = {}
  for number = 1, tonumber(ARGV[index]) do
    local record = {}
    for field = 1, width do record[field] = ARGV[index + (number - 1) * width + field] end
    records[number] = record
  end
  index = index + 1 + #records * width
  return records
end

local now = now_ms()
redis.call('HSET', META, 'state', 'active', 'epoch', ARGV[5], 'seq', ARGV[6], 'chain', ARGV[7], 'cleared', ARGV[8],
  'archived', ARGV[6], 'born_ms', ARGV[9], 'brought_ms', now)
for _, key in ipairs({ META, MEMBERS, READS }) do
  for _, pair in ipairs(take(2)) do redis.call('HSET', key, pair[1], pair[2]) end
end
local at = { seq = tonumber(ARGV[6]), chain = ARGV[7] }
for _, entry in ipairs(take(3)) do push(at, conversation_id, entry[1], entry[2], entry[3]) end
for _, sent in ipairs(take(3)) do redis.call('SET', sent[1], sent[2], 'EX', sent[3]) end
redis.call('ZREM', DUE, conversation_id)
for _, turn in ipairs(take(4)) do
  local key = tag .. ':turn:' .. turn[1]
  redis.call('DEL', key, tag .. ':pieces:' .. turn[1])
  redis.call('HSET', key, 'seq', turn[2], 'user', turn[3], 'status', 'queued', 'attempt', turn[4], 'queued_ms', now)
  redis.call('RPUSH', TURNS, turn[1])
  redis.call('ZADD', DUE, now, conversation_id)
end
for _, range in ipairs(take(2)) do redis.call('ZADD', superseded_key(), range[1], range[2]) end
redis.call('HDEL', KEYS[8], conversation_id)
mark_dirty(conversation_id, now)
return 1

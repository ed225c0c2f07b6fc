-- Make a log that does not exist: a new one, or one brought back from the archive. KEYS[8] parked.
-- ARGV: conversation, epoch, seq, chain, cleared, born_ms, then counts of meta pairs, member pairs, read pairs, then those.
local conversation_id = ARGV[1]
if redis.call('EXISTS', META) == 1 then return 0 end
redis.call('HSET', META, 'state', 'active', 'epoch', ARGV[2], 'seq', ARGV[3], 'chain', ARGV[4],
  'cleared', ARGV[5], 'archived', ARGV[3], 'born_ms', ARGV[6] == 'now' and now_ms() or ARGV[6])
local index = 7
for _, key in ipairs({ META, MEMBERS, READS }) do
  local pairs_count = tonumber(ARGV[index])
  for offset = index + 1, index + pairs_count * 2, 2 do
    redis.call('HSET', key, ARGV[offset], ARGV[offset + 1])
  end
  index = index + 1 + pairs_count * 2
end
redis.call('HDEL', KEYS[8], conversation_id)
return 1

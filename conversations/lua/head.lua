-- Where the log is, and how far the answer being written: epoch, seq, chain, turn, attempt, pieces. ARGV: tag.
local found = redis.call('HMGET', META, 'epoch', 'seq', 'chain', 'state')
if not found[1] then return {} end
local turn_id = redis.call('LINDEX', TURNS, 0)
if not turn_id then return { tonumber(found[1]), tonumber(found[2]), found[3], found[4] } end
return { tonumber(found[1]), tonumber(found[2]), found[3], found[4], turn_id,
  tonumber(redis.call('HGET', ARGV[1] .. ':turn:' .. turn_id, 'attempt')) or 0,
  redis.call('LLEN', ARGV[1] .. ':pieces:' .. turn_id) }

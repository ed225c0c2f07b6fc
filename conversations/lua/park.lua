-- Drop an idle log that lies whole in the archive; the mark keeps its position. KEYS[8] parked.
-- ARGV: conversation, epoch, seq, chain of the archive, ms of idleness. Returns 1, or 0 where it is in use or gone.
local at = position()
if not at or redis.call('ZSCORE', DIRTY, ARGV[1]) or redis.call('LLEN', TURNS) > 0 then return 0 end
if at.epoch ~= tonumber(ARGV[2]) or at.seq ~= tonumber(ARGV[3]) or at.chain ~= ARGV[4] then return 0 end
local used = redis.call('HMGET', META, 'active_ms', 'brought_ms', 'born_ms')
local last = math.max(tonumber(used[1]) or 0, tonumber(used[2]) or 0, tonumber(used[3]) or 0)
if now_ms() - last < tonumber(ARGV[5]) then return 0 end
redis.call('HSET', KEYS[8], ARGV[1], string.format('%d %d %s', at.epoch, at.seq, at.chain))
redis.call('DEL', META, LOG, MEMBERS, READS, TURNS, superseded_key())
return 1

-- The archive holds everything up to a seq: note it, keep only the newest entries here, and take the dirty mark off
-- if nothing has changed since it was read. ARGV: conversation, epoch, seq, stamp, entries to keep.
local found = redis.call('HMGET', META, 'epoch', 'seq', 'archived')
if found[1] ~= ARGV[2] or tonumber(ARGV[3]) > tonumber(found[2]) then return 0 end
local archived = math.max(tonumber(ARGV[3]), tonumber(found[3]) or 0)
redis.call('HSET', META, 'archived', archived)
local first_kept = math.min(archived + 1, tonumber(found[2]) - tonumber(ARGV[5]) + 1)
if first_kept > 1 then redis.call('XTRIM', LOG, 'MINID', string.format('%d-0', first_kept)) end
if archived < tonumber(found[2]) or stamp() ~= ARGV[4] then return 1 end
redis.call('ZREM', DIRTY, ARGV[1])
return 2

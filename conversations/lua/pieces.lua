-- Add pieces of the answer under the fence, and renew the lease. KEYS[8] turn, KEYS[9] pieces.
-- ARGV: conversation, turn, attempt, lease_ms, number of the first piece, pieces... (none: only renew).
-- A piece that is there already is a success. Returns who is a member now, and the device that cancelled the turn or '';
-- or 0 if the attempt is over.
if not holds(KEYS[8], ARGV[2], ARGV[3]) then return 0 end
local now = now_ms()
redis.call('ZADD', DUE, now + ARGV[4], ARGV[1])
local had, first = redis.call('LLEN', KEYS[9]), tonumber(ARGV[5])
local have = had
for index = 6, #ARGV do
  if first + index - 6 == have + 1 then
    redis.call('RPUSH', KEYS[9], ARGV[index])
    have = have + 1
  end
end
-- Progress: the leases that lapsed before (claim.lua) count no more. A first attempt has none to forget.
if have > had and ARGV[3] ~= '1' then redis.call('HDEL', KEYS[8], 'lapses') end
if have > 0 then redis.call('HSETNX', KEYS[8], 'first_piece_ms', now) end
return { redis.call('HKEYS', MEMBERS), redis.call('HGET', KEYS[8], 'cancelled_by') or '' }

-- May this user read it now, and from which seq on? ARGV: user. Returns {} where there is no log, else
-- {whether it is there and the user a member, cleared}.
local found = redis.call('HMGET', META, 'state', 'cleared')
if not found[1] then return {} end
local may = found[1] == 'active' and redis.call('HEXISTS', MEMBERS, ARGV[1]) or 0
return { may, tonumber(found[2]) or 0 }

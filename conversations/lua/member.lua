-- Is this user a member? Returns {'OK', role}. ARGV: user.
local at, refusal = position()
if not at then return { refusal } end
local role = redis.call('HGET', MEMBERS, ARGV[1])
if not role then return { 'FORBIDDEN' } end
return { 'OK', role, redis.call('HKEYS', MEMBERS) }

-- What people want of the assistant here; with fields, change them, which only the owner may.
-- ARGV: user, then pairs of field (model or instructions) and value. Returns {'OK', model, instructions}.
local at, refusal = position()
if not at then return { refusal } end
local role = redis.call('HGET', MEMBERS, ARGV[1])
if not role or (#ARGV > 1 and role ~= 'owner') then return { 'FORBIDDEN' } end
for index = 2, #ARGV, 2 do redis.call('HSET', META, ARGV[index], ARGV[index + 1]) end
local found = redis.call('HMGET', META, 'model', 'instructions')
return { 'OK', found[1] or '', found[2] or '' }

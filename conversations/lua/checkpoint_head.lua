-- Return the id of the turn that wrote the thread's head checkpoint, or false if there is no checkpoint.
-- KEYS: heads. ARGV: prefix of documents.
local id = redis.call('HGET', KEYS[1], '')
if not id then return false end
local found = redis.call('JSON.GET', ARGV[1] .. ':' .. id, 'turn_id')
return found and cjson.decode(found)

-- Return of the thread's head checkpoint {turn that wrote it, seq of its message, how it was ended early or ''}, or false.
-- KEYS: heads. ARGV: prefix of documents.
local id = redis.call('HGET', KEYS[1], '')
if not id then return false end
local found = redis.call('JSON.GET', ARGV[1] .. ':' .. id, '$.turn_id', '$.turn_seq', '$.ended')
if not found then return false end
local fields = cjson.decode(found)
return { fields['$.turn_id'][1], fields['$.turn_seq'][1] or 0, fields['$.ended'][1] or '' }

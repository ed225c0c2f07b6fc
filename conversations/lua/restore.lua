-- Undo a deletion that is not carried out yet. KEYS[8] erase.
local conversation_id, user = ARGV[1], ARGV[2]
if redis.call('HGET', MEMBERS, user) ~= 'owner' then return { 'FORBIDDEN' } end
if redis.call('HGET', META, 'state') == 'active' then return { 'OK', redis.call('HKEYS', MEMBERS) } end
if redis.call('ZREM', KEYS[8], conversation_id) == 0 then return { 'GONE' } end
redis.call('HSET', META, 'state', 'active')
mark_dirty(conversation_id, now_ms())
return { 'OK', redis.call('HKEYS', MEMBERS) }

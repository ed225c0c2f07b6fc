-- Undo a deletion that is not carried out yet, once for each command. KEYS[8] erase, KEYS[9] sent.
local conversation_id, user, ttl = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', MEMBERS, user) ~= 'owner' then return { 'FORBIDDEN' } end
if redis.call('HGET', META, 'state') == 'active' then return { 'OK', redis.call('HKEYS', MEMBERS) } end
-- A repeat of what was deleted again since.
if redis.call('EXISTS', KEYS[9]) == 1 then return { 'OK', {} } end
if redis.call('ZREM', KEYS[8], conversation_id) == 0 then return { 'GONE' } end
redis.call('HSET', META, 'state', 'active')
redis.call('SET', KEYS[9], '0 -', 'EX', ttl)
mark_dirty(conversation_id, now_ms())
return { 'OK', redis.call('HKEYS', MEMBERS) }

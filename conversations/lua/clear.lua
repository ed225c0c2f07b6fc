-- Erase what was said: the log goes on after `history.cleared`, nothing before it stays here. KEYS[8] sent.
local conversation_id, user, body, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HGET', MEMBERS, user) ~= 'owner' then return { 'FORBIDDEN' } end
local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', first } end
if redis.call('LLEN', TURNS) > 0 then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
push(at, conversation_id, 'history.cleared', body)
redis.call('SET', KEYS[8], string.format('%d -', at.seq), 'EX', ttl)
redis.call('XTRIM', LOG, 'MINID', string.format('%d-0', at.seq))
redis.call('HSET', META, 'cleared', at.seq, 'count', 0, 'preview', '')
-- A title made of what was said goes too; one that a person gave stays.
local titles = redis.call('HMGET', META, 'title', 'first_words')
if titles[1] == titles[2] then redis.call('HSET', META, 'title', '') end
redis.call('HDEL', META, 'first_words', 'newest', 'newest_source', 'newest_other')
local members = redis.call('HKEYS', MEMBERS)
for _, member in ipairs(members) do redis.call('HSET', READS, 'r' .. member, at.seq, 'u' .. member, 0) end
mark_dirty(conversation_id, now_ms())
return { 'OK', at.epoch, at.seq, at.chain, members }

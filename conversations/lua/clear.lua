-- Erase what was said: the log goes on after `history.cleared`, nothing before it stays here, nor in the checkpoints.
-- KEYS[8] sent, KEYS[9] checkpoint heads, KEYS[10] checkpoint order, KEYS[11] recap. ARGV[5], ARGV[6]: prefixes of documents and writes.
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
-- No turn is in flight, and none can begin within this script, so that no running one loses its state.
for _, member in ipairs(redis.call('ZRANGE', KEYS[10], 0, -1)) do
  local name = string.sub(member, string.find(member, '|', 1, true) + 1)
  redis.call('UNLINK', ARGV[5] .. name, ARGV[6] .. name)
end
redis.call('UNLINK', KEYS[9], KEYS[10], KEYS[11], superseded_key())
redis.call('HSET', META, 'cleared', at.seq, 'count', 0, 'preview', '')
-- A title made of what was said goes too; one that a person gave stays.
local titles = redis.call('HMGET', META, 'title', 'first_words')
if titles[1] == titles[2] then redis.call('HSET', META, 'title', '') end
redis.call('HDEL', META, 'first_words', 'newest', 'newest_source', 'newest_other')
local members = redis.call('HKEYS', MEMBERS)
for _, member in ipairs(members) do redis.call('HSET', READS, 'r' .. member, at.seq, 'u' .. member, 0) end
mark_dirty(conversation_id, now_ms())
return { 'OK', at.epoch, at.seq, at.chain, members }

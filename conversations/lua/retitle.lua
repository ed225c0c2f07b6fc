-- Give a conversation a better title than its first words, unless a person has named it, or it was cleared.
-- It stays an automatic title: a clearing takes it away. ARGV: conversation, clearing known, title. Returns 1, or 0.
local at = position()
if not at then return 0 end
local found = redis.call('HMGET', META, 'cleared', 'title', 'first_words')
if (tonumber(found[1]) or 0) ~= tonumber(ARGV[2]) or not found[3] or found[2] ~= found[3] then return 0 end
redis.call('HSET', META, 'title', ARGV[3], 'first_words', ARGV[3])
mark_dirty(ARGV[1], now_ms())
return 1

-- Keep what a model wrote of a conversation's beginning, unless it was cleared or deleted since. KEYS[8] recap.
-- ARGV: conversation, the clearing known when the turn began, JSON, ttl_ms. Returns 1, or 0.
local at = position()
if not at or (tonumber(redis.call('HGET', META, 'cleared')) or 0) ~= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[8], ARGV[3], 'PX', ARGV[4])
return 1

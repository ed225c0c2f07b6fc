-- Append copied messages to a conversation that is being made, if it has so many entries; the last call opens it to its
-- owner, with the last message, so that the archiver reads both in one page. May be repeated.
-- KEYS[8] erase. ARGV: conversation, seq expected, owner ('' while more follow), preview, bodies...
-- Returns the seq that it has now, whoever brought it there.
local conversation_id, expected, owner, preview = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local at, meta = position('newest', 'newest_source', 'count')
if not at then return { meta } end
if at.seq == expected then
  local now = now_ms()
  for index = 5, #ARGV do add(at, 'message', ARGV[index]) end
  redis.call('HSET', META, unpack(count_messages(at, #ARGV - 4, { meta[5], meta[6], meta[7] }, 'fork', preview, now)))
  if owner ~= '' then
    redis.call('HSET', MEMBERS, owner, 'owner')
    redis.call('HSET', READS, 'r' .. owner, at.seq, 'u' .. owner, 0)
  end
  mark_dirty(conversation_id, now)
end
if owner ~= '' then
  -- Begun from another place by then: it will be erased.
  if redis.call('HEXISTS', MEMBERS, owner) == 0 then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
  -- Also where this is a repeat, which has set the mark again.
  redis.call('ZREM', KEYS[8], conversation_id)
end
return { 'OK', at.seq }

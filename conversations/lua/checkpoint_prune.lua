-- Drop what a thread no longer needs: of each finished turn everything but its last checkpoint, and of those
-- all but the newest. The turn that owns the head is left alone, unless it is the one that has just finished.
-- Whatever stays has a time to live, also where its turn waited for a person until it ended.
-- KEYS: heads, order. ARGV: ttl_ms, finished turn, turn-ends to keep, prefix of documents, prefix of writes.
local ttl_ms, finished, keep = ARGV[1], ARGV[2], tonumber(ARGV[3])
local head = redis.call('HGET', KEYS[1], '')
local members = redis.call('ZREVRANGE', KEYS[2], 0, -1)
local function parts(member)
  local bar = string.find(member, '|', 1, true)
  return string.sub(member, 1, bar - 1), string.sub(member, bar + 1)
end
local running
for _, member in ipairs(members) do
  local turn, name = parts(member)
  if head and name == ':' .. head and turn ~= finished then running = turn end
end
local seen, ends, dropped, waits = {}, 0, 0, false
for _, member in ipairs(members) do
  local turn, name = parts(member)
  local is_end = string.sub(name, 1, 1) == ':' and not seen[turn]
  if is_end then
    seen[turn] = true
    ends = ends + 1
  end
  if turn == running then
    -- Without a time to live it waits for a person.
    waits = waits or redis.call('PTTL', ARGV[4] .. name) == -1
  elseif is_end and ends <= keep then
    redis.call('PEXPIRE', ARGV[4] .. name, ttl_ms)
    redis.call('UNLINK', ARGV[5] .. name)
  else
    redis.call('UNLINK', ARGV[4] .. name, ARGV[5] .. name)
    redis.call('ZREM', KEYS[2], member)
    if string.sub(name, 1, 1) ~= ':' then
      redis.call('HDEL', KEYS[1], string.match(name, '^(.*):[^:]*$'))
    end
    dropped = dropped + 1
  end
end
if not waits then
  redis.call('PEXPIRE', KEYS[1], ttl_ms)
  redis.call('PEXPIRE', KEYS[2], ttl_ms)
end
return dropped

-- Go back to what a turn began from, after a failure that the state itself may have caused, if the writer's attempt is the
-- current one: drop the turn's checkpoints, make its start the head again, and mark that as suspect by this turn.
-- What another turn has marked so before fails one turn after the other: then every checkpoint goes. Where the start is
-- gone or cannot be read, nothing is the head. May be repeated.
-- KEYS: turn, heads, order. ARGV: attempt or '', ttl_ms, turn id, prefix of documents, prefix of writes.
-- Returns 1 if a start is left, else 0.
local heads, order, ttl_ms, turn_id, prefix, writes = KEYS[2], KEYS[3], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[1] then
  return redis.error_reply('FENCED another attempt writes this turn')
end

local function text(id, path)
  local found = redis.pcall('JSON.GET', prefix .. ':' .. id, path)
  local values = type(found) == 'string' and cjson.decode(found) or {}
  return type(values[1]) == 'string' and values[1] or nil
end

local function drop(member, name)
  redis.call('UNLINK', prefix .. name, writes .. name)
  redis.call('ZREM', order, member)
  local ns, id = string.match(name, '^(.*):([^:]*)$')
  if redis.call('HGET', heads, ns) == id then redis.call('HDEL', heads, ns) end
end

local members = redis.call('ZRANGE', order, 0, -1)
local start, is_mine = redis.call('HGET', heads, ''), false
local own = {}
for _, member in ipairs(members) do
  local of_turn, name = string.match(member, '^([^|]*)|(.*)$')
  if of_turn == turn_id then
    own[#own + 1] = { member, name }
    if not is_mine and string.sub(name, 1, 1) == ':' then -- its first: the parent is another turn's
      is_mine, start = true, text(string.sub(name, 2), '$.parent_checkpoint_id')
    end
  end
end
for _, each in ipairs(own) do drop(each[1], each[2]) end

local is_there = start and start ~= '' and text(start, '$.turn_id')
if not is_there or (text(start, '$.suspect') or turn_id) == turn_id then
  if is_there then
    redis.call('JSON.SET', prefix .. ':' .. start, '$.suspect', cjson.encode(turn_id))
    redis.call('HSET', heads, '', start)
    redis.call('PEXPIRE', prefix .. ':' .. start, ttl_ms)
  else
    redis.call('HDEL', heads, '')
  end
  -- While the turn waited for a person they had none.
  redis.call('PEXPIRE', heads, ttl_ms)
  redis.call('PEXPIRE', order, ttl_ms)
  return is_there and 1 or 0
end
for _, member in ipairs(redis.call('ZRANGE', order, 0, -1)) do
  drop(member, string.match(member, '^[^|]*|(.*)$'))
end
redis.call('UNLINK', heads, order)
return 0

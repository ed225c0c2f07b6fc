-- Return the id of the turn that wrote the thread's head checkpoint, or false where there is none: what this turn starts
-- from. A head that lies behind this turn's message (it is answered anew), or belongs to what another answer or an edit
-- took the place of, is no start: then the newest turn-end that is one becomes the head, or there is no head any more.
-- KEYS: turn, heads, order, superseded. ARGV: attempt or '', ttl_ms, turn id, seq of its message, prefix of documents.
local turn, heads, order, superseded = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local attempt, turn_id, asked, prefix = ARGV[1], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local head = redis.call('HGET', heads, '')
if not head then return false end

local function facts(id)
  local found = redis.call('JSON.GET', prefix .. ':' .. id, '$.turn_id', '$.seq')
  if not found then return nil end
  local fields = cjson.decode(found)
  return fields['$.turn_id'][1] or '', tonumber(fields['$.seq'][1]) or 0
end

local ranges = redis.call('ZRANGE', superseded, 0, -1)
local function is_start(of_turn, seq)
  if seq >= asked and seq > 0 then return false end
  local answered_at, answered_by = 0, of_turn
  for _, range in ipairs(ranges) do
    local from, to, at, by, again = string.match(range, '^(%d+) (%d+) (%d+) (%S+) (%d+)$')
    if seq >= tonumber(from) and seq <= tonumber(to) then return false end
    if tonumber(again) == seq and seq > 0 and tonumber(at) > answered_at then
      answered_at, answered_by = tonumber(at), by
    end
  end
  return answered_by == of_turn
end

local head_turn, head_seq = facts(head)
if not head_turn then return false end
if head_turn == turn_id or is_start(head_turn, head_seq) then return head_turn end
if attempt ~= '' and redis.call('HGET', turn, 'attempt') ~= attempt then
  return redis.error_reply('FENCED another attempt writes this turn')
end
local seen = {}
for _, member in ipairs(redis.call('ZREVRANGE', order, 0, -1)) do
  local of_turn, id = string.match(member, '^([^|]*)|:([^:]*)$')
  if id and not seen[of_turn] then
    seen[of_turn] = true
    local found_turn, seq = facts(id)
    if found_turn and seq > 0 and is_start(found_turn, seq) then
      redis.call('HSET', heads, '', id)
      return found_turn
    end
  end
end
redis.call('HDEL', heads, '')
return false

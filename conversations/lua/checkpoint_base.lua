-- Return of the thread's head checkpoint {turn that wrote it, seq of its message, how it was ended early or ''}, or false
-- where there is none: what this turn starts from. A head that lies behind this turn's message (it is answered anew), or
-- belongs to what another answer or an edit took the place of, is no start: then the newest turn-end that is one becomes
-- the head, or there is no head any more.
-- KEYS: turn, heads, order, superseded. ARGV: attempt or '', turn id, seq of its message, prefix of documents.
local turn, heads, order, superseded = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local attempt, turn_id, asked, prefix = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local head = redis.call('HGET', heads, '')
if not head then return false end

local function facts(id)
  local found = redis.call('JSON.GET', prefix .. ':' .. id, '$.turn_id', '$.turn_seq', '$.ended')
  if not found then return nil end
  local fields = cjson.decode(found)
  return { fields['$.turn_id'][1] or '', tonumber(fields['$.turn_seq'][1]) or 0, fields['$.ended'][1] or '' }
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

local found = facts(head)
if not found then return false end
if found[1] == turn_id or is_start(found[1], found[2]) then return found end
if attempt ~= '' and redis.call('HGET', turn, 'attempt') ~= attempt then
  return redis.error_reply('FENCED another attempt writes this turn')
end
local seen = {}
for _, member in ipairs(redis.call('ZREVRANGE', order, 0, -1)) do
  local of_turn, id = string.match(member, '^([^|]*)|:([^:]*)$')
  if id and not seen[of_turn] then
    seen[of_turn] = true
    found = facts(id)
    if found and found[2] > 0 and is_start(found[1], found[2]) then
      redis.call('HSET', heads, '', id)
      return found
    end
  end
end
redis.call('HDEL', heads, '')
return false

-- What a turn goes on from, of one instant. KEYS[8] checkpoint heads, KEYS[9] checkpoint order, KEYS[10] recap,
-- KEYS[11] turn, KEYS[12] superseded. ARGV: prefix of documents, attempt, turn id, seq of its message.
-- Returns {head or false, topic, title, model, instructions, cleared, recap or ''}, the head as {turn that wrote it, seq of
-- its message, how it was ended early or ''}: {'', 0, ''} where it cannot be read.
-- A head that lies behind this turn's message (it is answered anew), or belongs to what another answer or an edit took the
-- place of, is no start: then the newest turn-end that is one becomes the head, or there is no head any more.
local heads, order, recap, turn, superseded = KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12]
local prefix, attempt, turn_id, asked = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function facts(id)
  local found = redis.pcall('JSON.GET', prefix .. ':' .. id, '$.turn_id', '$.turn_seq', '$.ended')
  if not found then return nil end
  -- Whoever reads it whole finds out, and sets it aside.
  if type(found) ~= 'string' then return { '', 0, '' } end
  local fields = cjson.decode(found)
  local function text(name)
    local value = fields[name][1]
    return type(value) == 'string' and value or ''
  end
  return { text('$.turn_id'), tonumber(fields['$.turn_seq'][1]) or 0, text('$.ended') }
end

local ranges = redis.call('ZRANGE', superseded, 0, -1)
local function is_start(of_turn, seq)
  if seq >= asked and seq > 0 then return false end
  local answered_at, answered_by = 0, of_turn
  -- Its answer may have come behind the message that was edited, and has given way with it.
  local sent = #ranges > 0 and of_turn ~= ''
    and redis.call('GET', string.gsub(META, ':meta:', ':sent:', 1) .. ':assistant:' .. of_turn)
  local ended_at = sent and tonumber(string.match(sent, '^%d+')) or 0
  for _, range in ipairs(ranges) do
    local from, to, at, by, again = string.match(range, '^(%d+) (%d+) (%d+) (%S+) (%d+)$')
    from, to = tonumber(from), tonumber(to)
    if (seq >= from and seq <= to) or (ended_at >= from and ended_at <= to) then return false end
    if tonumber(again) == seq and seq > 0 and tonumber(at) > answered_at then
      answered_at, answered_by = tonumber(at), by
    end
  end
  return answered_by == of_turn
end

local function start()
  local head = redis.call('HGET', heads, '')
  local found = head and facts(head)
  if not found then return false end
  if found[1] == turn_id or is_start(found[1], found[2]) then return found end
  if redis.call('HGET', turn, 'attempt') ~= attempt then
    return redis.error_reply('FENCED another attempt writes this turn')
  end
  redis.call('DEL', recap) -- it may tell of what gave way
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
end

local head = start()
if head and head.err then return head end
local meta = redis.call('HMGET', META, 'topic', 'title', 'model', 'instructions', 'cleared')
return { head, meta[1] or '', meta[2] or '', meta[3] or '', meta[4] or '', tonumber(meta[5]) or 0,
  redis.call('GET', recap) or '' }

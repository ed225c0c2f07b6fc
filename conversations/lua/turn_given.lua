-- What a turn goes on from, of one instant. KEYS[8] checkpoint heads, KEYS[9] recap.
-- ARGV: seq of the message that asks, prefix of checkpoint documents, most messages, most bytes.
-- Returns {turn of the head checkpoint or false, topic, title, model, instructions, cleared, recap or '',
-- {seq, body}... newest first: the message that asks, and those between it and the one that the state knows last}.
local seq, most, bytes_left = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local meta = redis.call('HMGET', META, 'topic', 'title', 'first_words', 'model', 'instructions', 'cleared')
local title = meta[2] ~= meta[3] and meta[2] or ''
local head, turn, known = redis.call('HGET', KEYS[8], ''), false, seq - 1
if head then
  turn = ''
  -- What cannot be read is found out, and set aside, by whoever reads it whole.
  local fields = redis.pcall('JSON.GET', ARGV[2] .. ':' .. head, '$.turn_id', '$.seq')
  local found = type(fields) == 'string' and cjson.decode(fields)
  if found then
    turn = found['$.turn_id'][1] or ''
    known = tonumber(found['$.seq'][1]) or known
  end
end
-- Without a checkpoint the transcript tells what was before.
local low = math.max(known, tonumber(meta[6]) or 0) + 1
local messages = {}
local upper = string.format('%d-0', seq)
while low <= seq and #messages < most and bytes_left > 0 do
  local chunk = redis.call('XREVRANGE', LOG, upper, string.format('%d-0', low), 'COUNT', 100)
  for _, entry in ipairs(chunk) do
    if entry[2][2] == 'message' and #messages < most and bytes_left > 0 then
      messages[#messages + 1] = { tonumber(string.match(entry[1], '^%d+')), entry[2][6] }
      bytes_left = bytes_left - #entry[2][6]
    end
  end
  if #chunk < 100 then break end
  upper = '(' .. chunk[#chunk][1]
end
return { turn, meta[1] or '', title or '', meta[4] or '', meta[5] or '', tonumber(meta[6]) or 0,
  redis.call('GET', KEYS[9]) or '', messages }

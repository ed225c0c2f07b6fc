-- What a turn goes on from, of one instant. KEYS[8] checkpoint heads, KEYS[9] recap. ARGV: prefix of documents.
-- Returns {the head checkpoint or false, topic, title, model, instructions, cleared, recap or ''}, the head as
-- {turn that wrote it, seq of its message, how it was ended early or ''}: {'', 0, ''} where it cannot be read.
local meta = redis.call('HMGET', META, 'topic', 'title', 'first_words', 'model', 'instructions', 'cleared')
local title = meta[2] ~= meta[3] and meta[2] or ''
local head, id = false, redis.call('HGET', KEYS[8], '')
if id then
  local fields = redis.pcall('JSON.GET', ARGV[1] .. ':' .. id, '$.turn_id', '$.turn_seq', '$.ended')
  if type(fields) == 'string' then
    fields = cjson.decode(fields)
    head = { fields['$.turn_id'][1] or '', tonumber(fields['$.turn_seq'][1]) or 0, fields['$.ended'][1] or '' }
  elseif fields then
    -- Whoever reads it whole finds out, and sets it aside.
    head = { '', 0, '' }
  end
end
return { head, meta[1] or '', title or '', meta[4] or '', meta[5] or '', tonumber(meta[6]) or 0,
  redis.call('GET', KEYS[9]) or '' }

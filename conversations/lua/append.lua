-- Append a user's message once, and queue its turn. KEYS[8] sent, KEYS[9] turn.
local conversation_id, user, device, if_seq, message_id, body, turn_id, most, preview, retry, ttl, title =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end

local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', first } end
local meta = redis.call('HMGET', META, 'born_ms', 'newest', 'newest_source', 'newest_other', 'count', 'title')
local now = now_ms()
-- Redis forgets client_ids after the ttl, and with a rebuilt log: then only the archive knows.
if retry == '1' and now - (tonumber(meta[1]) or 0) > ttl * 1000 then return { 'ASK_ARCHIVE' } end

local source = user .. ':' .. device
if if_seq ~= '' then
  local others = meta[2]
  if meta[3] == source then others = meta[4] end
  if tonumber(if_seq) < (tonumber(others) or 0) then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
end
if (tonumber(meta[5]) or 0) >= tonumber(most) then return { 'FULL' } end

push(at, conversation_id, 'message', body)
redis.call('SET', KEYS[8], string.format('%d %s', at.seq, message_id), 'EX', ttl)
local members = count_message(at, source, user, preview, now)
if not meta[6] or meta[6] == '' then
  redis.call('HSET', META, 'title', title, 'first_words', title)
end
mark_dirty(conversation_id, now)

local is_next = 0
if turn_id ~= '' then
  redis.call('HSET', KEYS[9], 'seq', at.seq, 'user', user, 'status', 'queued', 'attempt', 0, 'queued_ms', now)
  if redis.call('RPUSH', TURNS, turn_id) == 1 then
    redis.call('ZADD', DUE, now, conversation_id)
    is_next = 1
  end
end
-- Whoever writes while a turn waits for a person has declined it.
local head = redis.call('LINDEX', TURNS, 0)
if head and head ~= turn_id then
  local waiting = string.match(KEYS[9], '^(.*:turn:)') .. head
  if redis.call('HGET', waiting, 'status') == 'waiting' then
    redis.call('HSET', waiting, 'status', 'queued', 'declined_by', device)
    redis.call('ZADD', DUE, now, conversation_id)
  end
end
return { 'OK', at.epoch, at.seq, at.chain, is_next, members }

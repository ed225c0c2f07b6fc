-- Put another answer, or an edited message, in the place of what was said: `message.superseded` up to the head, the
-- edited message, and its turn, queued; all or nothing, once. An edit without a turn asks the assistant nothing.
-- KEYS[8] sent, KEYS[9] superseded, KEYS[10] turn. ARGV: conversation, user, device, first seq, asked (seq of the message
-- that is answered anew; 0: an edit), by, turn or '', time, message body or '', preview, most messages, ttl.
-- Replies OK, epoch, entries {seq, chain, body}, members; DUPLICATE '<seq> <turn>'; FULL; or a refusal.
local conversation_id, user, device, from_seq, asked, by, turn_id, at_text, message, preview, most, ttl =
  ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10],
  tonumber(ARGV[11]), ARGV[12]
local at, meta = position('newest', 'newest_source', 'count', 'cleared')
if not at then return { meta } end
local members = redis.call('HKEYS', MEMBERS)
if not contains(members, user) then return { 'FORBIDDEN' } end
local first = redis.call('GET', KEYS[8])
if first then return { 'DUPLICATE', first } end
-- A turn has begun, the history was cleared, or somebody has said something, since the caller looked.
local late = redis.call('LLEN', TURNS) > 0 or from_seq <= (tonumber(meta[8]) or 0) or from_seq > at.seq
if late or (message == '' and tonumber(meta[5]) ~= from_seq) then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
if message ~= '' and (tonumber(meta[7]) or 0) >= most then return { 'FULL' } end

local now, to_seq = now_ms(), at.seq
local body = string.format('{"event":"message.superseded","at":"%s","data":{"from_seq":%d,"to_seq":%d,"by":"%s"}}',
  at_text, from_seq, to_seq, by)
-- An edit's turn is named by its message.
local private = message == '' and string.format('{"turn_id":"%s","asked":%d,"user":"%s"}', turn_id, asked, user)
  or ''
local pushed = push(at, conversation_id, 'message.superseded', body, private)
local entries = { { pushed[1], pushed[2], body } }
redis.call('ZADD', KEYS[9], to_seq, string.format('%d %d %d %s %d', from_seq, to_seq, at.seq, by, asked))
if message ~= '' then
  pushed = push(at, conversation_id, 'message', message)
  entries[2] = { pushed[1], pushed[2], message }
  redis.call('HSET', META, unpack(count_messages(at, 1, { meta[5], meta[6], meta[7] }, user .. ':' .. device, preview, now)))
  count_unread(members, user, at.seq, 1)
  asked = at.seq
end
if turn_id ~= '' then
  redis.call('HSET', KEYS[10], 'seq', asked, 'user', user, 'device', device, 'status', 'queued', 'attempt', 0,
    'queued_ms', now)
  redis.call('RPUSH', TURNS, turn_id)
  redis.call('ZADD', DUE, now, conversation_id)
end
redis.call('SET', KEYS[8], string.format('%d %s', at.seq, turn_id), 'EX', ttl)
mark_dirty(conversation_id, now)
return { 'OK', at.epoch, entries, members }

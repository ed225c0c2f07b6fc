-- One page of the log from a cursor, or a snapshot where the cursor is of no use; with the turns in flight at its end.
-- ARGV: user, epoch, seq, chain, most entries, most bytes, tag, most missed, message count and bytes of a snapshot.
-- An epoch of '' means: no check (from the start). A seq of '' means: a snapshot.
local user, epoch, seq, chain, most, most_bytes, tag, most_missed, newest, newest_bytes =
  ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8]),
  tonumber(ARGV[9]), tonumber(ARGV[10])
local at, refusal = position()
if not at then return { refusal } end
if redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end
local cleared = tonumber(redis.call('HGET', META, 'cleared')) or 0

local function snapshot(reason)
  local messages, bytes, before = {}, 0, '+'
  while #messages < newest and bytes < newest_bytes do
    local chunk = redis.call('XREVRANGE', LOG, before, '-', 'COUNT', 200)
    for _, entry in ipairs(chunk) do
      if entry[2][2] == 'message' and #messages < newest and bytes < newest_bytes then
        messages[#messages + 1] = { tonumber(string.match(entry[1], '^%d+')), entry[2][6] }
        bytes = bytes + #entry[2][6]
      end
    end
    if #chunk < 200 then break end
    before = '(' .. chunk[#chunk][1]
  end
  local meta = redis.call('HMGET', META, 'title', 'topic', 'count')
  return { 'SNAPSHOT', reason, at.epoch, at.seq, at.chain, cleared, meta[1] or '', meta[2] or '', tonumber(meta[3]) or 0,
    redis.call('HGETALL', MEMBERS), messages, unfinished_turns(tag), redis.call('EXISTS', superseded_key()) }
end

if not seq then return snapshot('new') end
if epoch ~= '' and tonumber(epoch) ~= at.epoch then return snapshot('epoch') end
if seq > at.seq then return snapshot('diverged') end
if seq < cleared then return snapshot('cleared') end
if at.seq - seq > most_missed then return snapshot('too_far') end

local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local first_seq = first and tonumber(string.match(first[1], '^%d+')) or at.seq + 1
if chain ~= '' then
  local known
  if seq == 0 then known = '0000000000000000'
  elseif seq == at.seq then known = at.chain
  elseif seq >= first_seq then
    local id = string.format('%d-0', seq)
    local entry = redis.call('XRANGE', LOG, id, id)[1]
    known = entry and entry[2][4] or ''
  end
  if known and known ~= chain then return snapshot('diverged') end
  if not known then return { 'BELOW', at.epoch, at.seq, at.chain, first_seq } end
end
if seq + 1 < first_seq then return { 'BELOW', at.epoch, at.seq, at.chain, first_seq } end

local entries, bytes, last = {}, 0, seq
for _, entry in ipairs(redis.call('XRANGE', LOG, string.format('%d-0', seq + 1), '+', 'COUNT', most)) do
  bytes = bytes + #entry[2][6] + 140 -- what its frame puts around it: log.py, ENVELOPE_BYTES
  if #entries > 0 and bytes > most_bytes then break end
  last = tonumber(string.match(entry[1], '^%d+'))
  entries[#entries + 1] = { last, entry[2][4], entry[2][2], entry[2][6] }
end
if last < at.seq then return { 'PAGE', at.epoch, at.seq, at.chain, entries } end
return { 'PAGE', at.epoch, at.seq, at.chain, entries, unfinished_turns(tag) }

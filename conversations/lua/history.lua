-- Messages before a seq, newest first, as far as the stream holds them. ARGV: user, before seq, limit, most bytes.
-- A user of '' is the assistant, who is a member of every conversation.
local user, before, limit, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at, refusal = position()
if not at then return { refusal } end
if user ~= '' and redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end
local messages, bytes, upper = {}, 0, '+'
if before > 0 then upper = string.format('(%d-0', before) end
while #messages < limit and bytes < most_bytes do
  local chunk = redis.call('XREVRANGE', LOG, upper, '-', 'COUNT', 200)
  for _, entry in ipairs(chunk) do
    if entry[2][2] == 'message' and #messages < limit and bytes < most_bytes then
      messages[#messages + 1] = { tonumber(string.match(entry[1], '^%d+')), entry[2][6] }
      bytes = bytes + #entry[2][6]
    end
  end
  if #chunk < 200 then break end
  upper = '(' .. chunk[#chunk][1]
end
local cleared = tonumber(redis.call('HGET', META, 'cleared')) or 0
-- Is there anything below the stream that was not cleared?
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local first_seq = first and tonumber(string.match(first[1], '^%d+')) or at.seq + 1
return { 'OK', messages, cleared, first_seq > cleared + 1 and first_seq > 1 and 1 or 0,
  redis.call('EXISTS', superseded_key()) }

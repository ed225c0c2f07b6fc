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
return { 'OK', messages, tonumber(redis.call('HGET', META, 'cleared')) or 0 }

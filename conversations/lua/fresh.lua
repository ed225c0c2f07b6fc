-- The newest messages that the archive may lack, newest first: {seq, body} each. ARGV: user, most entries.
local at, refusal = position()
if not at or redis.call('HEXISTS', MEMBERS, ARGV[1]) == 0 then return {} end
local known = redis.call('HMGET', META, 'archived', 'cleared')
local after = math.max(tonumber(known[1]) or 0, tonumber(known[2]) or 0)
local found = {}
for _, entry in ipairs(redis.call('XREVRANGE', LOG, '+', string.format('(%d-0', after), 'COUNT', ARGV[2])) do
  if entry[2][2] == 'message' then
    found[#found + 1] = { tonumber(string.match(entry[1], '^%d+')), entry[2][6] }
  end
end
return found

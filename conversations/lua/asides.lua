-- Entries of some kinds between two places, newest first, as far as the stream holds them, of its nearest 2,000.
-- ARGV: user, from seq, before seq (0: to the head), most, what a body that nobody needs has in it, kinds.
-- A user of '' is the assistant. Returns {'OK', {seq, body} each, first seq of the stream, cleared, is superseded}.
local user, from, before, most, done = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local at, refusal = position()
if not at then return { refusal } end
if user ~= '' and redis.call('HEXISTS', MEMBERS, user) == 0 then return { 'FORBIDDEN' } end
local wanted, found = {}, {}
for index = 6, #ARGV do wanted[ARGV[index]] = true end
local upper = before > 0 and string.format('(%d-0', before) or '+'
for _, entry in ipairs(redis.call('XREVRANGE', LOG, upper, string.format('%d-0', from), 'COUNT', 2000)) do
  local kind, body = entry[2][2], entry[2][6]
  if wanted[kind] and #found < most and not string.find(body, done, 1, true) then
    found[#found + 1] = { tonumber(string.match(entry[1], '^%d+')), body }
  end
end
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
return { 'OK', found, first and tonumber(string.match(first[1], '^%d+')) or at.seq + 1,
  tonumber(redis.call('HGET', META, 'cleared')) or 0, redis.call('EXISTS', superseded_key()) }

-- What the archive lacks of a log: its facts as of now and the oldest entries after a seq. Before a clearing nothing counts.
-- ARGV: archive's seq, most entries, most bytes.
-- Returns {} where there is no log, else {epoch, seq, chain, state, cleared, facts, reads, stamp, after, entries, members}.
local found = redis.call('HMGET', META, 'epoch', 'seq', 'chain', 'state', 'cleared')
if not found[1] then return {} end
local after, cleared = tonumber(ARGV[1]), tonumber(found[5]) or 0
if cleared > after + 1 then after = cleared - 1 end
local entries, bytes = {}, 0
for _, entry in ipairs(redis.call('XRANGE', LOG, string.format('%d-0', after + 1), '+', 'COUNT', ARGV[2])) do
  bytes = bytes + #entry[2][6]
  if #entries > 0 and bytes > tonumber(ARGV[3]) then break end
  entries[#entries + 1] =
    { tonumber(string.match(entry[1], '^%d+')), entry[2][4], entry[2][2], entry[2][6], entry[2][8] or '' }
end
local facts = redis.call('HMGET', META, 'title', 'topic', 'language', 'count', 'preview', 'active_ms')
for index = 1, 6 do facts[index] = facts[index] or '' end
return { tonumber(found[1]), tonumber(found[2]), found[3], found[4], cleared, facts, redis.call('HGETALL', READS),
  stamp(), after, entries, redis.call('HGETALL', MEMBERS) }

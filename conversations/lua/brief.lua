-- What a sidebar shows. Returns {} where there is nothing to show.
local found = redis.call('HMGET', META, 'state', 'epoch', 'seq', 'chain', 'title', 'topic', 'preview', 'count', 'active_ms')
if found[1] ~= 'active' then return {} end
return { tonumber(found[2]), tonumber(found[3]), found[4], found[5] or '', found[6] or '', found[7] or '',
  tonumber(found[8]) or 0, tonumber(found[9]) or 0, redis.call('HGETALL', MEMBERS), redis.call('HGETALL', READS) }

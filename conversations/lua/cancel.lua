-- Cancel a turn; the head one where none is named. With a live lease it is noted, and the node that runs it ends it.
-- Without one (queued, waiting for a person, its node dead) it ends here, with what was written of its answer.
-- KEYS[8] sent (of the command). ARGV: conversation, user, device, turn or '', time, message_id, tag, ttl of commands, ttl of turns.
-- A user of '' is the server itself, which ends a turn that was noted as cancelled and has lost its node.
-- Returns {'OK', epoch, entries, members, turn, node that runs it or ''}, {'UNKNOWN'} for a turn that is not here.
local conversation_id, user, device, turn_id, at_text, message_id, tag, command_ttl, turn_ttl = unpack(ARGV, 1, 9)
local at, refusal = position()
if not at then return { refusal } end
local role = redis.call('HGET', MEMBERS, user)
if user ~= '' then
  if not role then return { 'FORBIDDEN' } end
  local first = redis.call('GET', KEYS[8])
  if first then return { 'OK', at.epoch, {}, {}, string.match(first, '%S+$'), '' } end
end
local head = redis.call('LINDEX', TURNS, 0)
if turn_id == '' then
  if not head then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
  turn_id = head
end
local sent = tag .. ':sent:' .. conversation_id .. ':assistant:' .. turn_id
local key = tag .. ':turn:' .. turn_id
local turn = redis.call('HMGET', key, 'user', 'status', 'node', 'cancelled_by')
local function remember()
  if user ~= '' then redis.call('SET', KEYS[8], string.format('%d %s', at.seq, turn_id), 'EX', command_ttl) end
end
if not turn[1] or not redis.call('LPOS', TURNS, turn_id) then
  local ended = redis.call('GET', sent)
  if not ended then return { 'UNKNOWN' } end
  -- Who cancels what is cancelled already has got what they wanted.
  if string.match(ended, '%S+$') ~= 'cancelled' then return { 'CONFLICT', at.epoch, at.seq, at.chain } end
  remember()
  return { 'OK', at.epoch, {}, {}, turn_id, '' }
end
if user ~= '' and role ~= 'owner' and turn[1] ~= user then return { 'FORBIDDEN' } end
if user == '' and not turn[4] then return { 'UNKNOWN' } end
local now = now_ms()
local is_head = turn_id == head
local leased_until = is_head and turn[2] == 'running' and tonumber(redis.call('ZSCORE', DUE, conversation_id)) or 0
if user ~= '' then redis.call('HSETNX', key, 'cancelled_by', device) end
if leased_until > now then
  remember()
  return { 'OK', at.epoch, {}, {}, turn_id, turn[3] }
end
device = redis.call('HGET', key, 'cancelled_by')
local entries = end_cancelled(at, conversation_id, turn_id,
  { device = device, at_text = at_text, message_id = message_id, tag = tag, ttl = turn_ttl }, now)
remember()
return { 'OK', at.epoch, entries, redis.call('HKEYS', MEMBERS), turn_id, '' }

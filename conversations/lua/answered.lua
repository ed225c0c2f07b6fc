-- Log the answer that a resumed turn goes on with, under the fence, once. KEYS[8] turn.
-- ARGV: conversation, turn, attempt, body.
local at, refusal = position()
if not at then return { refusal } end
if not holds(KEYS[8], ARGV[2], ARGV[3]) then return { 'FENCED' } end
if redis.call('HSETNX', KEYS[8], 'answered', 1) == 0 then return { 'OK', at.epoch, {}, {} } end
local pushed = push(at, ARGV[1], 'turn.answered', ARGV[4])
mark_dirty(ARGV[1], now_ms())
return { 'OK', at.epoch, { { pushed[1], pushed[2], ARGV[4] } }, redis.call('HKEYS', MEMBERS) }

-- Log under the fence that a question was declined by whoever wrote on, once. KEYS[8] turn.
-- ARGV: conversation, turn, attempt, body, interrupt, answer as JSON {interrupt_id, value}.
local at, refusal = position()
if not at then return { refusal } end
if not holds(KEYS[8], ARGV[2], ARGV[3]) then return { 'FENCED' } end
if answered_ids(KEYS[8])[ARGV[5]] then return { 'OK', at.epoch, {}, {} } end
keep_answer(KEYS[8], ARGV[6])
local pushed = push(at, ARGV[1], 'turn.answered', ARGV[4])
mark_dirty(ARGV[1], now_ms())
return { 'OK', at.epoch, { { pushed[1], pushed[2], ARGV[4] } }, redis.call('HKEYS', MEMBERS) }

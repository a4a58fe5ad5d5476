-- ready → paused. The route changes to paused; the lease continues. Idempotent.
-- KEYS: 1 instance  2 route  3 events
-- Returns {paused} | {refused} | {absent}.
local state = recordOf(KEYS[1]).state
if not state then return { 'absent' } end
if state == 'paused' then return { 'paused' } end
if state ~= 'ready' then return { 'refused' } end
setFields(KEYS[1], 'state', 'paused', 'lastTransitionAt', nowMs())
writePausedRoute(KEYS[2], KEYS[1])
emit(KEYS[3], KEYS[1], 'paused')
return { 'paused' }

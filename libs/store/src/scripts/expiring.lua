-- Emits the `expiring` event of an instance, once for each deadline.
-- KEYS: 1 instance  2 expiring (by the time of the event)  3 events
-- ARGV: 1 id
-- Returns 1: emitted | 0: emitted by another worker, or no longer due.
local at = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not at or tonumber(at) > nowMs() then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
local state = recordOf(KEYS[1]).state
if state ~= 'ready' and state ~= 'paused' then return 0 end
emit(KEYS[3], KEYS[1], 'expiring')
return 1

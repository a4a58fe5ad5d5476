-- Tells that the deadline of an instance nears, once for each deadline.
-- KEYS: 1 instance  2 expiring (by when to tell)  3 events
-- ARGV: 1 id
-- Returns 1 where it was told now, 0 where another has done it, or it is not due any more.
local at = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not at or tonumber(at) > nowMs() then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'ready' and state ~= 'paused' then return 0 end
emit(KEYS[3], KEYS[1], 'expiring')
return 1

-- Gives the next turn of a host's addresses. One that this worker knows of is never given again, also
-- where Redis has lost it; where nobody knows of any, the walk begins anywhere, not where it began.
-- KEYS: 1 turns of the host
-- ARGV: 1 the last turn that this worker was given (0: none)
-- Returns the turn.
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local known = math.max(last, tonumber(ARGV[1]))
if known == 0 then known = nowMs() % 60000 end
redis.call('SET', KEYS[1], string.format('%.0f', known + 1))
return known + 1

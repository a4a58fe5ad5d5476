-- Returns the next index of a host's address sequence. It is above every index that this worker has
-- received, even where Redis has lost the counter. Where no index is known, the sequence starts at a
-- time-dependent one, because recent addresses must not be reused.
-- KEYS: 1 address counter of the host
-- ARGV: 1 the last index that this worker received (0: none)
-- Returns the index.
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local known = math.max(last, tonumber(ARGV[1]))
if known == 0 then known = nowMs() % 60000 end
redis.call('SET', KEYS[1], string.format('%.0f', known + 1))
return known + 1

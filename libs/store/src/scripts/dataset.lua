-- Returns the data set of this Redis. A Redis without one is new, or has lost its data: a process that
-- knows an earlier data set marks the new one as lost. Records the host if it has compared its
-- containers with this data set.
-- KEYS: 1 data set  2 hosts that have reported
-- ARGV: 1 host  2 data set that the process knew last (empty: none)
--       3 data set that the host has compared its containers with (empty: none)
-- Returns the data set: the time of its creation, and `new` or `lost`.
local dataset = redis.call('GET', KEYS[1])
if not dataset then
  dataset = string.format('%.0f', nowMs()) .. (ARGV[2] ~= '' and ':lost' or ':new')
  redis.call('SET', KEYS[1], dataset)
end
if ARGV[3] == dataset then redis.call('SADD', KEYS[2], ARGV[1]) end
return dataset

-- Returns the data set of this Redis, and creates it where there is none. Records the host if it has
-- compared its containers with this data set.
-- KEYS: 1 data set  2 hosts that have reported
-- ARGV: 1 host that reports (none: nobody)
--       2 data set that the host has compared its containers with
-- Returns the data set: the time of its creation, epoch ms.
local dataset = redis.call('GET', KEYS[1])
if not dataset then
  dataset = string.format('%.0f', nowMs())
  redis.call('SET', KEYS[1], dataset)
end
if ARGV[2] == dataset then
  redis.call('SADD', KEYS[2], ARGV[1])
  -- After this time no process waits for a report.
  redis.call('PEXPIRE', KEYS[2], DATASET_REPORT_TIMEOUT_MS)
end
return dataset

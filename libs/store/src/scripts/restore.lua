-- Restores an instance that Redis has lost, or whose claim Redis has lost, from the labels of its
-- container.
-- KEYS: 1 instance  2 route  3 instances  4 generation counter  5 events  6 expiring
-- ARGV: 1 id  2 generation  3.. fields of the instance
-- Returns 1: restored | 0: the id is known.
local generation, base = tonumber(ARGV[2]), baseOf(KEYS[1])
local lost = recordOf(KEYS[1])
if lost.state == 'warm' and tonumber(lost.generation) < generation then
  removeFromPool(base, lost.pool, ARGV[1])
  releaseFromHost(base, KEYS[1])
  removeRecord(KEYS[1])
end
if lost.withdrawn and not lost.state then removeRecord(KEYS[1]) end
if recordOf(KEYS[1]).id or redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local counter = tonumber(redis.call('GET', KEYS[4]) or '0')
if counter < generation then redis.call('SET', KEYS[4], ARGV[2]) end
local fields = {}
for i = 3, #ARGV do fields[#fields + 1] = ARGV[i] end
setFields(KEYS[1], unpack(fields))
local isPaused = recordOf(KEYS[1]).state == 'paused'
if isPaused then writePausedRoute(KEYS[2], KEYS[1]) else writeReadyRoute(KEYS[2], KEYS[1]) end
redis.call('ZADD', KEYS[3], generation, ARGV[1])
local template = templateOf(KEYS[1])
redis.call('SADD', templateInstancesKey(base, template), ARGV[1])
local host = recordOf(KEYS[1]).host
if host then reserveOnHost(base, KEYS[1], host) end
scheduleExpiryNotice(KEYS[6], KEYS[1], ARGV[1])
emit(KEYS[5], KEYS[1], recordOf(KEYS[1]).state)
return 1

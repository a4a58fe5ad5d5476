-- pending → starting on a host; again on the same host is a job taken over from a dead worker.
-- KEYS: 1 instance  2 route  3 instances of the host  4 pending  5 events
-- ARGV: 1 id  2 generation  3 host
-- Returns the instance's fields, or nil where it was killed, superseded or begun elsewhere.
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return nil end
if state == 'starting' then
  if redis.call('HGET', KEYS[1], 'host') ~= ARGV[3] then return nil end
  return redis.call('HGETALL', KEYS[1])
end
if state ~= 'pending' then return nil end
local now = clock()
redis.call('HSET', KEYS[1], 'state', 'starting', 'host', ARGV[3], 'lastTransitionAt', now)
redis.call('SET', KEYS[2],
  cjson.encode({ state = 'starting', generation = tonumber(ARGV[2]) }))
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
emit(KEYS[5], KEYS[1], 'starting')
return redis.call('HGETALL', KEYS[1])

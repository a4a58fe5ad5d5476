-- Writes the intent of an instance: pending, with its lease and its route.
-- KEYS: 1 instance  2 route  3 instances (live, by generation)  4 generation counter
--       5 pending (by start deadline)  6 events
-- ARGV: 1 id  2 timeout ms  3 startWithin ms  4 maxTimeout ms  5 template JSON  6 env JSON
--       7 metadata JSON  8 url  9 idleTimeout ms (empty: none)
-- Returns {generation, now, expiresAt, maxExpiresAt}, or nil where the id is taken.
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local now = clock()
local generation = redis.call('INCR', KEYS[4])
local ceiling = now + tonumber(ARGV[4])
local deadline = math.min(now + tonumber(ARGV[3]), ceiling)
redis.call('HSET', KEYS[1],
  'id', ARGV[1], 'generation', generation, 'state', 'pending', 'template', ARGV[5],
  'timeout', ARGV[2], 'env', ARGV[6], 'metadata', ARGV[7], 'url', ARGV[8], 'createdAt', now,
  'lastTransitionAt', now, 'expiresAt', deadline, 'maxExpiresAt', ceiling)
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'idleTimeout', ARGV[9]) end
redis.call('SET', KEYS[2], cjson.encode({ state = 'pending', generation = generation }))
redis.call('ZADD', KEYS[3], generation, ARGV[1])
redis.call('ZADD', KEYS[5], deadline, ARGV[1])
emit(KEYS[6], KEYS[1], 'pending')
return { generation, now, deadline, ceiling }

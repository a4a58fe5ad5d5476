-- starting → ready: the route appears, and the TTL counts from now, below the ceiling. Again for
-- the same container gives the same answer: a job taken over may run beside the one it follows.
-- KEYS: 1 instance  2 route  3 events  4 expiring
-- ARGV: 1 generation  2 address  3 id
-- Returns {expiresAt, maxExpiresAt, now}, or nil where the generation was superseded.
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return nil end
if state == 'ready' and redis.call('HGET', KEYS[1], 'address') == ARGV[2] then
  local has = redis.call('HMGET', KEYS[1], 'expiresAt', 'maxExpiresAt', 'startedAt')
  return { tonumber(has[1]), tonumber(has[2]), tonumber(has[3]) }
end
if state ~= 'starting' then return nil end
local now = clock()
local timeout = tonumber(redis.call('HGET', KEYS[1], 'timeout'))
local ceiling = tonumber(redis.call('HGET', KEYS[1], 'maxExpiresAt'))
local deadline = math.min(now + timeout, ceiling)
local template = cjson.decode(redis.call('HGET', KEYS[1], 'template'))
redis.call('HSET', KEYS[1], 'state', 'ready', 'address', ARGV[2], 'startedAt', now, 'activeAt', now,
  'expiresAt', deadline, 'lastTransitionAt', now)
local route = {
  state = 'ready', generation = tonumber(ARGV[1]), address = ARGV[2],
  port = template.port, ports = template.ports,
  expiresAt = deadline, stripPrefix = template.stripPrefix, host = template.host }
if redis.call('HEXISTS', KEYS[1], 'idleTimeout') == 1 then route.activity = template.activity end
redis.call('SET', KEYS[2], cjson.encode(route))
remind(KEYS[4], KEYS[1], ARGV[3])
emit(KEYS[3], KEYS[1], 'ready')
return { deadline, ceiling, now }

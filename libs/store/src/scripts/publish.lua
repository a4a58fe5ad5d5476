-- starting → ready: the route appears, and the TTL counts from now, below the ceiling.
-- KEYS: 1 instance  2 route
-- ARGV: 1 generation  2 address
-- Returns {expiresAt, maxExpiresAt, now}, or nil where the generation was superseded.
if redis.call('HGET', KEYS[1], 'state') ~= 'starting' then return nil end
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return nil end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local timeout = tonumber(redis.call('HGET', KEYS[1], 'timeout'))
local ceiling = tonumber(redis.call('HGET', KEYS[1], 'maxExpiresAt'))
local deadline = math.min(now + timeout, ceiling)
local template = cjson.decode(redis.call('HGET', KEYS[1], 'template'))
redis.call('HSET', KEYS[1], 'state', 'ready', 'address', ARGV[2], 'startedAt', now,
  'expiresAt', deadline, 'lastTransitionAt', now)
redis.call('SET', KEYS[2], cjson.encode({
  state = 'ready', generation = tonumber(ARGV[1]), address = ARGV[2],
  port = template.port, ports = template.ports,
  expiresAt = deadline, stripPrefix = template.stripPrefix, host = template.host }))
return { deadline, ceiling, now }

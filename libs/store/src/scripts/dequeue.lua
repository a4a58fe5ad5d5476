-- Removes the first instance from the queue of a template, if there is capacity for it. Its start
-- deadline and its ceiling count from now.
-- KEYS: 1 queue  2 pending (by start deadline)
-- ARGV: 1 template's name
-- Returns {id, generation} | nil: the queue is empty, or there is no capacity.
local base = baseOf(KEYS[1])
local id = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if not id then
  redis.call('SREM', base .. 'queues', ARGV[1])
  return nil
end
local instance = base .. 'instance:' .. id
local template = templateOf(instance)
local full, host, load = exceededLimit(base, template)
if full then return nil end
redis.call('ZREM', KEYS[1], id)
removeFields(instance, 'queued')
local now = nowMs()
local ceiling = now + template.maxTimeout
local deadline = math.min(now + template.ready.within, ceiling)
setFields(instance, 'expiresAt', deadline, 'maxExpiresAt', ceiling,
  'lastTransitionAt', now)
local reserved = reserveCapacity(base, id, template, host, load)
if reserved then setFields(instance, 'reservedHost', reserved) end
redis.call('ZADD', KEYS[2], deadline, id)
return { id, tonumber(recordOf(instance).generation) }

-- pending → starting on a host. Idempotent for the same host, which may have taken the job over from
-- a dead worker.
-- KEYS: 1 instance  2 route  3 instances of the host  4 pending  5 events
-- ARGV: 1 id  2 generation  3 host
-- Returns the fields of the instance | nil: killed, superseded, queued or serving already |
--         'other_host': another host has started it | 'full': this host has no capacity for it.
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return nil end
if state == 'starting' then
  if redis.call('HGET', KEYS[1], 'host') ~= ARGV[3] then return 'other_host' end
  return redis.call('HGETALL', KEYS[1])
end
if state ~= 'pending' or redis.call('HEXISTS', KEYS[1], 'queued') == 1 then return nil end
local base = baseOf(KEYS[1])
if not hostHasCapacity(base, KEYS[1], ARGV[3]) then
  handOverReservation(base, KEYS[1], ARGV[3])
  return 'full'
end
local now = nowMs()
redis.call('HSET', KEYS[1], 'state', 'starting', 'host', ARGV[3], 'lastTransitionAt', now)
if redis.call('HEXISTS', KEYS[1], 'pool') == 0 then
  writeRoute(KEYS[2], KEYS[1], { state = 'starting', generation = tonumber(ARGV[2]) })
end
removePending(base, KEYS[4], KEYS[1], ARGV[1])
reserveOnHost(base, KEYS[1], ARGV[3])
redis.call('SADD', KEYS[3], ARGV[1])
emit(KEYS[5], KEYS[1], 'starting')
return redis.call('HGETALL', KEYS[1])

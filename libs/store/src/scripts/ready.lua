-- starting → ready: the route appears, and the TTL counts from now, up to the ceiling. An instance of a
-- pool becomes warm instead: it gets no route and may be claimed. Idempotent for the same address,
-- also after a claim, because two runs of one job may overlap.
-- KEYS: 1 instance  2 route  3 events  4 expiring
-- ARGV: 1 generation  2 address  3 id  4 host (empty: any)
-- Returns {expiresAt, maxExpiresAt, startedAt} | nil: the generation was superseded, or another host
-- has started it.
local state = redis.call('HGET', KEYS[1], 'state')
if isServing(state) and redis.call('HGET', KEYS[1], 'address') == ARGV[2] then
  local has = redis.call('HMGET', KEYS[1], 'expiresAt', 'maxExpiresAt', 'startedAt')
  return { tonumber(has[1]), tonumber(has[2]), tonumber(has[3]) }
end
if state ~= 'starting' then return nil end
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return nil end
if ARGV[4] ~= '' and redis.call('HGET', KEYS[1], 'host') ~= ARGV[4] then return nil end
local now = nowMs()
local timeout = tonumber(redis.call('HGET', KEYS[1], 'timeout'))
local ceiling = tonumber(redis.call('HGET', KEYS[1], 'maxExpiresAt'))
local deadline = math.min(now + timeout, ceiling)
local pool = redis.call('HGET', KEYS[1], 'pool')
redis.call('HSET', KEYS[1], 'state', pool and 'warm' or 'ready', 'address', ARGV[2],
  'startedAt', now, 'expiresAt', deadline, 'lastTransitionAt', now)
if pool then
  redis.call('HSET', KEYS[1], 'verifiedRunId', runId())
  redis.call('ZADD', baseOf(KEYS[1]) .. 'pool:' .. pool .. ':warm', deadline, ARGV[3])
  emit(KEYS[3], KEYS[1], 'warm')
else
  redis.call('HSET', KEYS[1], 'activeAt', now)
  writeReadyRoute(KEYS[2], KEYS[1])
  scheduleExpiryNotice(KEYS[4], KEYS[1], ARGV[3])
  emit(KEYS[3], KEYS[1], 'ready')
end
return { deadline, ceiling, now }

-- draining → gone, or failed where the start failed. Leaves a tombstone that expires.
-- KEYS: 1 instance  2 route  3 instances  4 instances of the host  5 events
-- ARGV: 1 id  2 generation  3 tombstone ms  4 left: its container may still exist, so the tombstone
--       outlives every deadline that the labels of that container may carry
-- Returns 1: finalized | 0: finalized before, not draining, or another generation.
if redis.call('HGET', KEYS[1], 'state') ~= 'draining' then return 0 end
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return 0 end
local now = nowMs()
local reason = redis.call('HGET', KEYS[1], 'reason')
local state = reason == 'start_failed' and 'failed' or 'gone'
redis.call('HSET', KEYS[1], 'state', state, 'lastTransitionAt', now)
redis.call('HDEL', KEYS[1], 'address', 'env', 'token')
local tombstoneMs = tonumber(ARGV[3])
if ARGV[4] == 'left' then
  local ceiling = tonumber(redis.call('HGET', KEYS[1], 'maxExpiresAt'))
  -- The labels of a claimed instance carry the ceiling that it had in its pool.
  if redis.call('HEXISTS', KEYS[1], 'pooledAs') == 1 then
    ceiling = ceiling + (templateOf(KEYS[1]).poolMaxAge or 0)
  end
  tombstoneMs = math.max(tombstoneMs, ceiling - now)
end
local route = { state = state, generation = tonumber(ARGV[2]), reason = reason }
local message = redis.call('HGET', KEYS[1], 'message')
if message then route.message = message end
if redis.call('HEXISTS', KEYS[1], 'pool') == 0 then
  writeRoute(KEYS[2], KEYS[1], route, 'PX', tombstoneMs)
end
redis.call('PEXPIRE', KEYS[1], tombstoneMs)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
redis.call('ZREM', baseOf(KEYS[1]) .. 'pending', ARGV[1])
releaseCapacity(baseOf(KEYS[1]), KEYS[1], ARGV[1])
emit(KEYS[5], KEYS[1], state)
return 1

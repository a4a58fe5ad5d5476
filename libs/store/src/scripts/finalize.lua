-- draining → gone, or failed where the start failed. Leaves a tombstone that expires.
-- KEYS: 1 instance  2 route  3 instances  4 events
-- ARGV: 1 id  2 generation  3 tombstone ms  4 left: its container may still exist, so the tombstone
--       outlives every deadline that the labels of that container may carry
-- Returns 1: finalized | 0: finalized before, not draining, or another generation.
local record = recordOf(KEYS[1])
if record.state ~= 'draining' or record.generation ~= ARGV[2] then return 0 end
local now = nowMs()
local reason = record.reason
local state = reason == 'start_failed' and 'failed' or 'gone'
setFields(KEYS[1], 'state', state, 'lastTransitionAt', now)
removeFields(KEYS[1], 'address', 'env', 'token')
local tombstoneMs = tonumber(ARGV[3])
if ARGV[4] == 'left' then
  local ceiling = tonumber(record.maxExpiresAt)
  -- The labels of a claimed instance carry the ceiling that it had in its pool.
  if record.pooledAs then
    ceiling = ceiling + (templateOf(KEYS[1]).poolMaxAge or 0)
  end
  tombstoneMs = math.max(tombstoneMs, ceiling - now)
end
local route = { state = state, generation = tonumber(ARGV[2]), reason = reason }
local message = record.message
if message then route.message = message end
if not record.pool then
  writeRoute(KEYS[2], KEYS[1], route, 'PX', tombstoneMs)
end
redis.call('PEXPIRE', KEYS[1], tombstoneMs)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', baseOf(KEYS[1]) .. 'pending', ARGV[1])
releaseCapacity(baseOf(KEYS[1]), KEYS[1], ARGV[1])
emit(KEYS[4], KEYS[1], state)
return 1

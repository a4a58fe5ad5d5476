-- Included before every script. Membership of warm pools, and their back-off.

-- Removes an instance from its pool.
local function removeFromPool(base, pool, id)
  redis.call('SREM', base .. 'pool:' .. pool, id)
  redis.call('ZREM', base .. 'pool:' .. pool .. ':warm', id)
end

-- A pool in which a start has failed backs off: the next start would probably fail too.
local function backOffPool(base, pool)
  redis.call('SET', base .. 'pool:' .. pool .. ':backoff', 1, 'PX', POOL_BACKOFF_MS)
end

local function isBackingOff(base, pool)
  return redis.call('EXISTS', base .. 'pool:' .. pool .. ':backoff') == 1
end

-- Included before every script. How many instances an owner (a client address or a token) may have.

-- Returns the limit that an owner {name, limit, max} has reached; nil where it has not.
local function quotaExceeded(base, owner)
  if not owner or not owner.max then return nil end
  if redis.call('SCARD', base .. 'owner:' .. owner.name) < owner.max then return nil end
  return owner.limit
end

-- Counts an instance for its owner. The caller writes the field `owner`.
local function recordQuotaOwner(base, owner, id)
  if not owner then return end
  redis.call('SADD', base .. 'owner:' .. owner.name, id)
end

-- Counts an instance no longer for its owner. Idempotent.
local function releaseQuota(base, instance, id)
  local owner = recordOf(instance).owner
  if owner then redis.call('SREM', base .. 'owner:' .. owner, id) end
end

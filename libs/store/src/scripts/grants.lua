-- Included before every script. Grants: signed links and proofs of work, each good for a number of
-- instances.

-- Returns the kind of the first grant {kind, name, max, expiresAt} that has no use left, or nil.
local function exhaustedGrant(base, context)
  for _, grant in ipairs(context.grants or {}) do
    local used = tonumber(redis.call('GET', base .. 'used:' .. grant.name) or '0')
    if used >= grant.max then return grant.kind end
  end
  return nil
end

-- Releases one use of each grant. The key is absent after the grant has expired.
local function releaseUses(base, grants)
  for _, grant in ipairs(grants or {}) do
    local key = base .. 'used:' .. grant.name
    if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('INCRBY', key, -1) end
  end
end

local function redeem(base, context)
  for _, grant in ipairs(context.grants or {}) do
    local key = base .. 'used:' .. grant.name
    redis.call('INCR', key)
    redis.call('PEXPIREAT', key, grant.expiresAt)
  end
end

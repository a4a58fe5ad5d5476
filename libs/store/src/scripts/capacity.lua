-- Stands behind the prelude in every script: who holds how much room. What an instance holds is
-- noted of it, as its id in a set or as its place, and changed in the same step as its state: so
-- it is never held twice, released twice or forgotten, whoever runs a step again.

-- How long a host counts as alive after its last sign of life, as in hosts.ts.
local HOST_HEARTBEAT_TIMEOUT = 15000
-- How long an answer is kept under its idempotency key.
local ANSWER_TTL = 24 * 3600 * 1000

local RESOURCES = { 'instances', 'memory', 'cpus' }

-- `{namespace}:`, which every key begins with.
local function baseOf(key) return string.match(key, '^%b{}:') end

local function templateOf(instance) return cjson.decode(redis.call('HGET', instance, 'template')) end

-- One instance, its bytes of memory and its thousandths of a CPU.
local function resourcesOf(template)
  return { 1, template.limits.memory, math.floor(template.limits.cpus * 1000 + 0.5) }
end

local function usedKey(base, host) return base .. 'host:' .. host .. ':used' end

local function templateInstancesKey(base, template) return base .. 'template:' .. template.name .. ':instances' end

local function queueKey(base, template) return base .. 'template:' .. template.name .. ':queue' end

-- Adds to the sums at a key, or takes away where sign is -1; sums of nothing are no key.
local function count(key, sign, size)
  for i, axis in ipairs(RESOURCES) do
    if redis.call('HINCRBY', key, axis, sign * size[i]) == 0 and i == 1 then
      redis.call('DEL', key)
      return
    end
  end
end

local function hasCapacity(free, size)
  for i in ipairs(RESOURCES) do if free[i] < size[i] then return false end end
  return true
end

-- What is free on a host; without bound where it has told none.
local function availableOn(base, host)
  local max = redis.call('HMGET', base .. 'host:' .. host .. ':capacity', unpack(RESOURCES))
  local used = redis.call('HMGET', usedKey(base, host), unpack(RESOURCES))
  local free = {}
  for i in ipairs(RESOURCES) do
    free[i] = max[i] and tonumber(max[i]) - tonumber(used[i] or 0) or math.huge
  end
  return free
end

-- Gives the host with the most memory free among those that have room for one more: a name, true
-- where none has told of itself yet, or nil. Where none is alive, those that were heard of count:
-- one that restarts comes back.
local function pickHost(base, size)
  local hosts = redis.call('ZRANGE', base .. 'hosts', nowMs() - HOST_HEARTBEAT_TIMEOUT, '+inf', 'BYSCORE')
  if #hosts == 0 then hosts = redis.call('ZRANGE', base .. 'hosts', 0, -1) end
  if #hosts == 0 then return true end
  local best, max
  for _, host in ipairs(hosts) do
    local free = availableOn(base, host)
    if hasCapacity(free, size) and (not best or free[2] > max) then best, max = host, free[2] end
  end
  return best
end

-- Gives the limit that leaves no room for one more of a template; nil where there is room.
local function exceededLimit(base, template)
  local max = template.maxInstances
  if max and redis.call('SCARD', templateInstancesKey(base, template)) >= max then return 'template' end
  if not pickHost(base, resourcesOf(template)) then return 'hosts' end
  return nil
end

-- Gives back the room that an instance holds on a host; `place` names it.
local function releaseFromHost(base, instance)
  local reserved = redis.call('HGET', instance, 'reservedHost')
  if not reserved then return end
  redis.call('HDEL', instance, 'reservedHost')
  count(usedKey(base, reserved), -1, resourcesOf(templateOf(instance)))
end

local function reserveOnHost(base, instance, host)
  releaseFromHost(base, instance)
  redis.call('HSET', instance, 'reservedHost', host)
  count(usedKey(base, host), 1, resourcesOf(templateOf(instance)))
end

-- Takes the room for an instance that no host has begun. Another host may begin it too, where it
-- has room; the one that is noted here has it in any case.
local function reserveCapacity(base, instance, id, template)
  redis.call('SADD', templateInstancesKey(base, template), id)
  local reserved = pickHost(base, resourcesOf(template))
  if reserved and reserved ~= true then reserveOnHost(base, instance, reserved) end
end

-- Whether a host may begin an instance.
local function hostHasCapacity(base, instance, host)
  if redis.call('HGET', instance, 'reservedHost') == host then return true end
  return hasCapacity(availableOn(base, host), resourcesOf(templateOf(instance)))
end

-- An instance is pending no more, and in no queue.
local function removePending(base, pending, instance, id)
  redis.call('ZREM', pending, id)
  if redis.call('HDEL', instance, 'queued') == 0 then return end
  redis.call('ZREM', queueKey(base, templateOf(instance)), id)
end

-- Gives back all that an instance holds.
local function releaseCapacity(base, instance, id)
  releaseFromHost(base, instance)
  redis.call('SREM', templateInstancesKey(base, templateOf(instance)), id)
  local owner = redis.call('HGET', instance, 'owner')
  if owner then redis.call('SREM', base .. 'owner:' .. owner, id) end
end

-- A pool in which a start has failed rests: what is broken would only fail again, over and over.
local POOL_REST = 30000

local function backOffPool(base, pool)
  redis.call('SET', base .. 'pool:' .. pool .. ':backoff', 1, 'PX', POOL_REST)
end

local function isBackingOff(base, pool)
  return redis.call('EXISTS', base .. 'pool:' .. pool .. ':backoff') == 1
end

-- Gives the limit that an owner {name, limit, most} has reached; nil where it has not.
local function quotaExceeded(base, owner)
  if not owner or not owner.max then return nil end
  if redis.call('SCARD', base .. 'owner:' .. owner.name) < owner.max then return nil end
  return owner.limit
end

local function recordQuotaOwner(base, owner, instance, id)
  if not owner then return end
  redis.call('SADD', base .. 'owner:' .. owner.name, id)
  redis.call('HSET', instance, 'owner', owner.name)
end

-- Gives the answer that was kept for the same request, or nil. `replacing` names an instance that
-- was handed out for it and turned out to be dead.
local function storedAnswer(base, context)
  local kept = context.idempotency
  if not kept then return nil end
  local has = redis.call('HMGET', base .. 'idempotency:' .. kept.key, 'digest', 'id')
  if not has[2] or has[2] == context.replacing then return nil end
  if has[1] ~= kept.digest then return { 'reused' } end
  return { 'repeated', has[2], redis.call('HGETALL', base .. 'instance:' .. has[2]) }
end

local function storeAnswer(base, context, id)
  local kept = context.idempotency
  if not kept then return end
  local key = base .. 'idempotency:' .. kept.key
  redis.call('HSET', key, 'digest', kept.digest, 'id', id)
  redis.call('PEXPIRE', key, ANSWER_TTL)
end

-- Gives the kind of a voucher {kind, name, most, expiresAt} that has no use left, or nil. An
-- instance that takes the place of a dead one was got by the same use.
local function exhaustedGrant(base, context)
  if context.replacing then return nil end
  for _, grant in ipairs(context.grants or {}) do
    local used = tonumber(redis.call('GET', base .. 'used:' .. grant.name) or '0')
    if used >= grant.max then return grant.kind end
  end
  return nil
end

local function redeem(base, context)
  if context.replacing then return end
  for _, grant in ipairs(context.grants or {}) do
    local key = base .. 'used:' .. grant.name
    redis.call('INCR', key)
    redis.call('PEXPIREAT', key, grant.expiresAt)
  end
end

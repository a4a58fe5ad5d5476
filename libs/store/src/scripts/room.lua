-- Stands behind the prelude in every script: who holds how much room. What an instance holds is
-- the membership of its id in a set, changed in the same step as its state: so it is never held
-- twice, released twice or forgotten, whoever runs a step again. The sums move with the sets.

-- How long a host counts as alive after its last sign of life, as in hosts.ts.
local HOST_ALIVE = 15000
-- How long an answer is kept under its idempotency key.
local ANSWER_KEPT = 24 * 3600 * 1000

local AXES = { 'instances', 'memory', 'cpus' }

-- `{namespace}:`, which every key begins with.
local function baseOf(key) return string.match(key, '^%b{}:') end

local function templateOf(instance) return cjson.decode(redis.call('HGET', instance, 'template')) end

-- One instance, its bytes of memory and its thousandths of a CPU.
local function sizeOf(template)
  return { 1, template.limits.memory, math.floor(template.limits.cpus * 1000 + 0.5) }
end

local function usedKey(base, host) return base .. 'host:' .. host .. ':used' end

local function crewKey(base, template) return base .. 'template:' .. template.name .. ':instances' end

local function lineKey(base, template) return base .. 'template:' .. template.name .. ':queue' end

-- Adds to the sums at a key, or takes away where sign is -1; sums of nothing are no key.
local function count(key, sign, size)
  for i, axis in ipairs(AXES) do
    if redis.call('HINCRBY', key, axis, sign * size[i]) == 0 and i == 1 then
      redis.call('DEL', key)
      return
    end
  end
end

local function fits(free, size)
  for i in ipairs(AXES) do if free[i] < size[i] then return false end end
  return true
end

-- What is free on a host; without bound where it has told none.
local function freeOn(base, host)
  local most = redis.call('HMGET', base .. 'host:' .. host .. ':capacity', unpack(AXES))
  local used = redis.call('HMGET', usedKey(base, host), unpack(AXES))
  local free = {}
  for i in ipairs(AXES) do
    free[i] = most[i] and tonumber(most[i]) - tonumber(used[i] or 0) or math.huge
  end
  return free
end

-- Whether some host has room for one more, and all of them for it beside those that no host has
-- begun yet. Where none is alive, those that were heard of count: one that restarts comes back.
local function hostsHaveRoom(base, size)
  local hosts = redis.call('ZRANGE', base .. 'hosts', clock() - HOST_ALIVE, '+inf', 'BYSCORE')
  if #hosts == 0 then hosts = redis.call('ZRANGE', base .. 'hosts', 0, -1) end
  if #hosts == 0 then return true end
  local pending = redis.call('HMGET', base .. 'pending:used', unpack(AXES))
  local sum, one = {}, false
  for i in ipairs(AXES) do sum[i] = -tonumber(pending[i] or 0) end
  for _, host in ipairs(hosts) do
    local free = freeOn(base, host)
    one = one or fits(free, size)
    for i in ipairs(AXES) do sum[i] = sum[i] + math.max(0, free[i]) end
  end
  return one and fits(sum, size)
end

-- Gives the limit that leaves no room for one more of a template; nil where there is room.
local function fullBy(base, template)
  local most = template.maxInstances
  if most and redis.call('SCARD', crewKey(base, template)) >= most then return 'template' end
  if not hostsHaveRoom(base, sizeOf(template)) then return 'hosts' end
  return nil
end

-- Takes the room for an instance that no host has begun.
local function holdRoom(base, id, template)
  if redis.call('SADD', crewKey(base, template), id) == 1 then
    count(base .. 'pending:used', 1, sizeOf(template))
  end
end

-- An instance is pending no more: it leaves the queue, or its room passes on.
local function leavePending(base, pending, instance, id)
  if redis.call('ZREM', pending, id) == 0 then return end
  local template = templateOf(instance)
  if redis.call('HDEL', instance, 'queued') == 1 then
    redis.call('ZREM', lineKey(base, template), id)
  else
    count(base .. 'pending:used', -1, sizeOf(template))
  end
end

local function enterHost(base, host, crew, instance, id)
  if redis.call('SADD', crew, id) == 1 then
    count(usedKey(base, host), 1, sizeOf(templateOf(instance)))
  end
end

-- Gives back all that an instance holds.
local function releaseRoom(base, crew, instance, id)
  local template = templateOf(instance)
  local has = redis.call('HMGET', instance, 'host', 'owner')
  redis.call('SREM', crewKey(base, template), id)
  if has[2] then redis.call('SREM', base .. 'owner:' .. has[2], id) end
  if has[1] and redis.call('SREM', crew, id) == 1 then
    count(usedKey(base, has[1]), -1, sizeOf(template))
  end
end

-- Gives the limit that an owner {name, limit, most} has reached; nil where it has not.
local function ownerFull(base, owner)
  if not owner or not owner.most then return nil end
  if redis.call('SCARD', base .. 'owner:' .. owner.name) < owner.most then return nil end
  return owner.limit
end

local function own(base, owner, instance, id)
  if not owner then return end
  redis.call('SADD', base .. 'owner:' .. owner.name, id)
  redis.call('HSET', instance, 'owner', owner.name)
end

-- Gives the answer that was kept for the same request, or nil. `replacing` names an instance that
-- was handed out for it and turned out to be dead.
local function keptAnswer(base, order)
  local kept = order.idempotency
  if not kept then return nil end
  local has = redis.call('HMGET', base .. 'idempotency:' .. kept.key, 'digest', 'id')
  if not has[2] or has[2] == order.replacing then return nil end
  if has[1] ~= kept.digest then return { 'reused' } end
  return { 'repeated', has[2], redis.call('HGETALL', base .. 'instance:' .. has[2]) }
end

local function keepAnswer(base, order, id)
  local kept = order.idempotency
  if not kept then return end
  local key = base .. 'idempotency:' .. kept.key
  redis.call('HSET', key, 'digest', kept.digest, 'id', id)
  redis.call('PEXPIRE', key, ANSWER_KEPT)
end

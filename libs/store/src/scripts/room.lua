-- Stands behind the prelude in every script: who holds how much room. What an instance holds is
-- noted of it, as its id in a set or as its place, and changed in the same step as its state: so
-- it is never held twice, released twice or forgotten, whoever runs a step again.

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

-- Gives the host with the most memory free among those that have room for one more: a name, true
-- where none has told of itself yet, or nil. Where none is alive, those that were heard of count:
-- one that restarts comes back.
local function placeFor(base, size)
  local hosts = redis.call('ZRANGE', base .. 'hosts', clock() - HOST_ALIVE, '+inf', 'BYSCORE')
  if #hosts == 0 then hosts = redis.call('ZRANGE', base .. 'hosts', 0, -1) end
  if #hosts == 0 then return true end
  local place, most
  for _, host in ipairs(hosts) do
    local free = freeOn(base, host)
    if fits(free, size) and (not place or free[2] > most) then place, most = host, free[2] end
  end
  return place
end

-- Gives the limit that leaves no room for one more of a template; nil where there is room.
local function fullBy(base, template)
  local most = template.maxInstances
  if most and redis.call('SCARD', crewKey(base, template)) >= most then return 'template' end
  if not placeFor(base, sizeOf(template)) then return 'hosts' end
  return nil
end

-- Gives back the room that an instance holds on a host; `place` names it.
local function leavePlace(base, instance)
  local place = redis.call('HGET', instance, 'place')
  if not place then return end
  redis.call('HDEL', instance, 'place')
  count(usedKey(base, place), -1, sizeOf(templateOf(instance)))
end

local function takePlace(base, instance, host)
  leavePlace(base, instance)
  redis.call('HSET', instance, 'place', host)
  count(usedKey(base, host), 1, sizeOf(templateOf(instance)))
end

-- Takes the room for an instance that no host has begun. Another host may begin it too, where it
-- has room; the one that is noted here has it in any case.
local function holdRoom(base, instance, id, template)
  redis.call('SADD', crewKey(base, template), id)
  local place = placeFor(base, sizeOf(template))
  if place and place ~= true then takePlace(base, instance, place) end
end

-- Whether a host may begin an instance.
local function mayBegin(base, instance, host)
  if redis.call('HGET', instance, 'place') == host then return true end
  return fits(freeOn(base, host), sizeOf(templateOf(instance)))
end

-- An instance is pending no more, and in no queue.
local function leavePending(base, pending, instance, id)
  redis.call('ZREM', pending, id)
  if redis.call('HDEL', instance, 'queued') == 0 then return end
  redis.call('ZREM', lineKey(base, templateOf(instance)), id)
end

-- Gives back all that an instance holds.
local function releaseRoom(base, instance, id)
  leavePlace(base, instance)
  redis.call('SREM', crewKey(base, templateOf(instance)), id)
  local owner = redis.call('HGET', instance, 'owner')
  if owner then redis.call('SREM', base .. 'owner:' .. owner, id) end
end

-- A pool in which a start has failed rests: what is broken would only fail again, over and over.
local POOL_REST = 30000

local function restPool(base, pool)
  redis.call('SET', base .. 'pool:' .. pool .. ':resting', 1, 'PX', POOL_REST)
end

local function isResting(base, pool)
  return redis.call('EXISTS', base .. 'pool:' .. pool .. ':resting') == 1
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

-- Gives the kind of a voucher {kind, name, most, expiresAt} that has no use left, or nil. An
-- instance that takes the place of a dead one was got by the same use.
local function spentVoucher(base, order)
  if order.replacing then return nil end
  for _, voucher in ipairs(order.vouchers or {}) do
    local used = tonumber(redis.call('GET', base .. 'used:' .. voucher.name) or '0')
    if used >= voucher.most then return voucher.kind end
  end
  return nil
end

local function useVouchers(base, order)
  if order.replacing then return end
  for _, voucher in ipairs(order.vouchers or {}) do
    local key = base .. 'used:' .. voucher.name
    redis.call('INCR', key)
    redis.call('PEXPIREAT', key, voucher.expiresAt)
  end
end

-- Included before every script. What instances reserve on hosts, and the limit per template. A
-- reservation is recorded on the instance (`reservedHost`, and its id in the set of its template) in the
-- same step as its state. So a repeated step neither counts nor releases it twice.

local function templateOf(instance) return cjson.decode(redis.call('HGET', instance, 'template')) end

-- What one instance of a template needs: 1 instance, bytes of memory, thousandths of a CPU.
local function resourcesOf(template)
  return { 1, template.limits.memory, math.floor(template.limits.cpus * 1000 + 0.5) }
end

local function templateInstancesKey(base, template) return base .. 'template:' .. template.name .. ':instances' end

local function hasCapacity(free, size)
  for i in ipairs(RESOURCES) do if free[i] < size[i] then return false end end
  return true
end

-- Releases what an instance has reserved on a host.
local function releaseFromHost(base, instance)
  local reserved = redis.call('HGET', instance, 'reservedHost')
  if not reserved then return end
  redis.call('HDEL', instance, 'reservedHost')
  changeUsage(base, reserved, -1, resourcesOf(templateOf(instance)))
end

local function reserveOnHost(base, instance, host)
  if redis.call('HGET', instance, 'reservedHost') == host then return end
  releaseFromHost(base, instance)
  redis.call('HSET', instance, 'reservedHost', host)
  changeUsage(base, host, 1, resourcesOf(templateOf(instance)))
end

-- Returns whether a host may start an instance: it has the reservation, or enough is free. A cordoned
-- host starts only what it has reserved, and a host that is being drained starts nothing.
local function hostHasCapacity(base, instance, host)
  local cordon = cordonOf(base, host)
  if cordon and cordon.drain then return false end
  if redis.call('HGET', instance, 'reservedHost') == host then return true end
  if cordon then return false end
  return hasCapacity(availableOn(base, host), resourcesOf(templateOf(instance)))
end

-- Releases everything that an instance has reserved, and takes it off its owner's quota.
local function releaseCapacity(base, instance, id)
  releaseFromHost(base, instance)
  redis.call('SREM', templateInstancesKey(base, templateOf(instance)), id)
  local owner = redis.call('HGET', instance, 'owner')
  if owner then redis.call('SREM', base .. 'owner:' .. owner, id) end
end

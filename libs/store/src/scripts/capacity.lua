-- Included before every script. What instances reserve on hosts, and the limit per template. A
-- reservation is recorded on the instance (`reservedHost`, and its id in the set of its template) in the
-- same step as its state. So a repeated step neither counts nor releases it twice.

-- What one instance of a template needs: 1 instance, bytes of memory, thousandths of a CPU.
local function resourcesOf(template)
  return { 1, template.limits.memory, math.floor(template.limits.cpus * 1000 + 0.5) }
end

local function templateInstancesKey(base, template) return base .. 'template:' .. template.name .. ':instances' end

-- Counts the reservation of an instance on a host, and no longer on the host that it had reserved. The
-- caller writes `reservedHost`. `load`: as for `changeUsage`.
local function moveReservation(base, instance, host, load)
  local reserved = recordOf(instance).reservedHost
  if reserved == host then return end
  local size = resourcesOf(templateOf(instance))
  if reserved then changeUsage(base, reserved, -1, size) end
  changeUsage(base, host, 1, size, load)
end

local function reserveOnHost(base, instance, host, load)
  moveReservation(base, instance, host, load)
  setFields(instance, 'reservedHost', host)
end

-- Releases what an instance has reserved on a host.
local function releaseFromHost(base, instance)
  local reserved = recordOf(instance).reservedHost
  if not reserved then return end
  removeFields(instance, 'reservedHost')
  changeUsage(base, reserved, -1, resourcesOf(templateOf(instance)))
end

-- Returns whether a host may start an instance: it has the reservation, or enough is free. A cordoned
-- host starts only what it has reserved, and a host that is being drained starts nothing. Then returns
-- the load of the host, where it was read.
local function hostHasCapacity(base, instance, host)
  local cordon = cordonOf(base, host)
  if cordon and cordon.drain then return false end
  if recordOf(instance).reservedHost == host then return true end
  if cordon then return false end
  local load = loadOf(base, host)
  return hasCapacity(load, resourcesOf(templateOf(instance))), load
end

-- Releases everything that an instance has reserved, and takes it off its owner's quota.
local function releaseCapacity(base, instance, id)
  releaseFromHost(base, instance)
  redis.call('SREM', templateInstancesKey(base, templateOf(instance)), id)
  releaseQuota(base, instance, id)
end

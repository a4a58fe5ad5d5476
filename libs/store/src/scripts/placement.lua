-- Included before every script. Chooses the host for an instance, and manages the queues of
-- instances that wait for capacity.

local function queueKey(base, template) return base .. 'template:' .. template.name .. ':queue' end

-- How many hosts one step of a search reads: few at first, because usually the first one has capacity.
local FIRST_PAGE, PAGE = 10, 100

-- Returns the first of these hosts with enough capacity that is alive and not cordoned, and how many of
-- them are still in the index. Removes dead hosts from it; their next heartbeat adds them again.
local function firstWithCapacity(base, page, size, now)
  if #page == 0 then return nil, 0 end
  local seenAt = redis.call('ZMSCORE', base .. 'hosts', unpack(page))
  local instances = redis.call('ZMSCORE', freeKey(base, 'instances'), unpack(page))
  local cpus = redis.call('ZMSCORE', freeKey(base, 'cpus'), unpack(page))
  local left = #page
  for i, host in ipairs(page) do
    if not isHostAlive(tonumber(seenAt[i] or 0), now) then
      removeFromIndex(base, host)
      left = left - 1
    elseif tonumber(instances[i] or 0) >= size[1] and tonumber(cpus[i] or 0) >= size[3] then
      if hasCapacity(availableOn(base, host), size) and not cordonOf(base, host) then
        return host, left
      end
      indexHost(base, host)
    end
  end
  return nil, left
end

-- Returns whether no host has enough of a resource.
local function isExhausted(base, resource, amount)
  return #redis.call('ZRANGE', freeKey(base, resource), '+inf', amount, 'BYSCORE', 'REV', 'LIMIT', 0, 1) == 0
end

-- Returns the host for an instance while no host is alive, because a host that restarts comes back: the
-- one with the most free memory of those seen last; true where no host has registered yet; nil where
-- none has enough capacity.
local function pickDeadHost(base, size)
  local hosts = redis.call('ZREVRANGE', base .. 'hosts', 0, PAGE - 1)
  if #hosts == 0 then return true end
  local best, max
  for _, host in ipairs(hosts) do
    local free = availableOn(base, host)
    if hasCapacity(free, size) and (not best or free[2] > max) and not cordonOf(base, host) then
      best, max = host, free[2]
    end
  end
  return best
end

-- Returns the alive host with the most free memory among those with enough capacity that are not
-- cordoned; true where no host has registered yet; nil where none has enough. The number of commands
-- does not depend on the number of hosts, except where many have enough memory but not enough of
-- another resource: then it is 4 for each 100 of them.
local function pickHost(base, size)
  local now, offset, limit = nowMs(), 0, FIRST_PAGE
  while true do
    local page = redis.call('ZRANGE', freeKey(base, 'memory'), '+inf', size[2], 'BYSCORE', 'REV',
      'LIMIT', offset, limit)
    local host, left = firstWithCapacity(base, page, size, now)
    if host then return host end
    if #page < limit then break end
    if isExhausted(base, 'instances', size[1]) or isExhausted(base, 'cpus', size[3]) then break end
    offset, limit = offset + left, PAGE
  end
  local alive = redis.call('ZRANGE', base .. 'hosts', now - HOST_ALIVE_TIMEOUT_MS, '+inf', 'BYSCORE',
    'LIMIT', 0, 1)
  if #alive > 0 then return nil end
  return pickDeadHost(base, size)
end

-- Returns the limit that prevents one more instance of a template, 'template' or 'hosts', else nil; and
-- then the host for it, true where no host has registered yet.
local function exceededLimit(base, template)
  local max = template.maxInstances
  if max and redis.call('SCARD', templateInstancesKey(base, template)) >= max then return 'template' end
  local host = pickHost(base, resourcesOf(template))
  if not host then return 'hosts' end
  return nil, host
end

-- Reserves capacity for an instance that no host has started, on the host that `exceededLimit` has
-- returned. Another host with capacity may start it too; the host with the reservation always may.
local function reserveCapacity(base, instance, id, template, host)
  redis.call('SADD', templateInstancesKey(base, template), id)
  if host ~= true then reserveOnHost(base, instance, host) end
end

-- Moves the reservation of an instance from a host that is being drained to one with capacity, so that no
-- later instance takes it first.
local function handOverReservation(base, instance, host)
  local cordon = cordonOf(base, host)
  if not (cordon and cordon.drain) then return end
  if redis.call('HGET', instance, 'reservedHost') ~= host then return end
  local other = pickHost(base, resourcesOf(templateOf(instance)))
  if other and other ~= true then reserveOnHost(base, instance, other) end
end

-- Removes an instance from the pending set and from the queue of its template.
local function removePending(base, pending, instance, id)
  redis.call('ZREM', pending, id)
  if redis.call('HDEL', instance, 'queued') == 0 then return end
  redis.call('ZREM', queueKey(base, templateOf(instance)), id)
end

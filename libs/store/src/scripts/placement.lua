-- Included before every script. Chooses the host for an instance, and manages the queues of
-- instances that wait for capacity.

local function queueKey(base, template) return base .. 'template:' .. template.name .. ':queue' end

-- How many hosts one step of a search reads: few at first, because usually the first one has capacity.
local FIRST_PAGE, PAGE = 10, 100

-- Checks a host that the index proposes. Returns its load if it may start an instance of this size.
-- Otherwise repairs its entries; a dead host is indexed again by its next heartbeat.
local function checkProposed(base, host, size, seenAt, now)
  if not isHostAlive(tonumber(seenAt or 0), now) then return removeFromIndex(base, host) end
  local load = loadOf(base, host)
  if hasCapacity(load, size) and not cordonOf(base, host) then return load end
  indexHost(base, host)
end

-- Returns the first host of a page of the index that may start an instance of this size, with its load;
-- else nil, nil and how many hosts of the page were checked and may have left it. The very first host of
-- a search usually has capacity, so it alone is checked before the entries of the others are read.
local function firstWithCapacity(base, page, offset, size, now)
  local seenAt, cpus, checked = {}, nil, 0
  for i, host in ipairs(page) do
    local isVeryFirst = i == 1 and offset == 0
    if isVeryFirst then
      seenAt[i] = redis.call('ZSCORE', base .. 'hosts', host)
    elseif not cpus then
      seenAt = redis.call('ZMSCORE', base .. 'hosts', unpack(page))
      cpus = redis.call('ZMSCORE', freeKey(base, CPUS), unpack(page))
    end
    if isVeryFirst or tonumber(cpus[i] or 0) >= size[CPUS] then
      local load = checkProposed(base, host, size, seenAt[i], now)
      if load then return host, load end
      checked = checked + 1
    end
  end
  return nil, nil, checked
end

-- Returns whether no host has enough free CPUs.
local function lacksCpus(base, size)
  local key = freeKey(base, CPUS)
  return #redis.call('ZRANGE', key, '+inf', size[CPUS], 'BYSCORE', 'REV', 'LIMIT', 0, 1) == 0
end

-- Returns the host for an instance while no host is alive, because a host that restarts comes back: the
-- one with the most free memory of those seen last; true where no host has registered yet; nil where
-- none has enough capacity. Then returns the load of the host.
local function pickDeadHost(base, size)
  local hosts = redis.call('ZREVRANGE', base .. 'hosts', 0, PAGE - 1)
  if #hosts == 0 then return true end
  local best, chosen
  for _, host in ipairs(hosts) do
    local load = loadOf(base, host)
    local isBetter = not best or freeOf(load, MEMORY) > freeOf(chosen, MEMORY)
    if isBetter and hasCapacity(load, size) and not cordonOf(base, host) then
      best, chosen = host, load
    end
  end
  return best, chosen
end

-- Returns the alive host with the most free memory among those with enough capacity that are not
-- cordoned, and its load. The number of commands does not depend on the number of hosts, except where
-- many have enough memory but not enough CPUs, while some host has these: then it is 3 for each 100.
local function pickHost(base, size)
  local now, offset, limit = nowMs(), 0, FIRST_PAGE
  while true do
    local page = redis.call('ZRANGE', freeKey(base, MEMORY), '+inf', size[MEMORY], 'BYSCORE', 'REV',
      'LIMIT', offset, limit)
    local host, load, checked = firstWithCapacity(base, page, offset, size, now)
    if host then return host, load end
    if #page < limit or (offset == 0 and lacksCpus(base, size)) then break end
    offset, limit = offset + #page - checked, PAGE
  end
  local alive = redis.call('ZRANGE', base .. 'hosts', now - HOST_ALIVE_TIMEOUT_MS, '+inf', 'BYSCORE',
    'LIMIT', 0, 1)
  if #alive > 0 then return nil end
  return pickDeadHost(base, size)
end

-- Returns the limit that prevents one more instance of a template, 'template' or 'hosts', else nil; and
-- then the host for it, true where no host has registered yet, with its load.
local function exceededLimit(base, template)
  local max = template.maxInstances
  if max and redis.call('SCARD', templateInstancesKey(base, template)) >= max then return 'template' end
  local host, load = pickHost(base, resourcesOf(template))
  if not host then return 'hosts' end
  return nil, host, load
end

-- Reserves capacity for an instance that no host has started, on the host that `exceededLimit` has
-- returned. Another host with capacity may start it too; the host with the reservation always may.
-- Returns the value of `reservedHost`, which the caller writes; nil if no host has registered yet.
local function reserveCapacity(base, id, template, host, load)
  redis.call('SADD', templateInstancesKey(base, template), id)
  if host == true then return nil end
  changeUsage(base, host, 1, resourcesOf(template), load)
  return host
end

-- Moves the reservation of an instance from a host that is being drained to one with capacity, so that no
-- later instance takes it first.
local function handOverReservation(base, instance, host)
  local cordon = cordonOf(base, host)
  if not (cordon and cordon.drain) then return end
  if recordOf(instance).reservedHost ~= host then return end
  local other, load = pickHost(base, resourcesOf(templateOf(instance)))
  if other and other ~= true then reserveOnHost(base, instance, other, load) end
end

-- Removes an instance from the pending set and from the queue of its template.
local function removePending(base, pending, instance, id)
  redis.call('ZREM', pending, id)
  if not recordOf(instance).queued then return end
  removeFields(instance, 'queued')
  redis.call('ZREM', queueKey(base, templateOf(instance)), id)
end

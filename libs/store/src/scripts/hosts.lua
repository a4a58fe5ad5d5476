-- Included before every script. The hosts: their capacity, usage, cordons, and the index that finds one
-- with free capacity.
--
-- The index is a sorted set for memory and one for CPUs: host by how much is free. Its members are the
-- hosts that can start an instance: not cordoned, with a free instance slot, and alive when the index was
-- written last. A script that changes the capacity, the usage or the cordon of a host updates the index
-- in the same step. A heartbeat adds a host that is missing, and a worker writes the entries of its host
-- again with its capacity. The index only proposes hosts: the hashes decide.

local RESOURCES = { 'instances', 'memory', 'cpus' }
local INSTANCES, MEMORY, CPUS = 1, 2, 3
local INDEXED = { MEMORY, CPUS }

local function freeKey(base, resource) return base .. 'hosts-by-free:' .. RESOURCES[resource] end

-- Returns whether a host with this last heartbeat is alive.
local function isHostAlive(seenAt, now) return seenAt >= now - HOST_ALIVE_TIMEOUT_MS end

-- Returns the cordon of a host: a table, with `drain` if the host is being drained; nil if there is none.
local function cordonOf(base, host)
  local text = redis.call('HGET', base .. 'cordons', host)
  return text and cjson.decode(text) or nil
end

-- Returns what a host offers (`max`, infinite for a resource whose capacity it has not registered), and
-- what is reserved on it (`used`), in the order of RESOURCES.
local function loadOf(base, host)
  local max = redis.call('HMGET', base .. 'host:' .. host .. ':capacity', unpack(RESOURCES))
  local used = redis.call('HMGET', base .. 'host:' .. host .. ':used', unpack(RESOURCES))
  local load = { max = {}, used = {} }
  for i in ipairs(RESOURCES) do
    load.max[i] = max[i] and tonumber(max[i]) or math.huge
    load.used[i] = tonumber(used[i] or 0)
  end
  return load
end

local function freeOf(load, resource) return load.max[resource] - load.used[resource] end

local function hasCapacity(load, size)
  for i in ipairs(RESOURCES) do if freeOf(load, i) < size[i] then return false end end
  return true
end

local function removeFromIndex(base, host)
  for _, i in ipairs(INDEXED) do redis.call('ZREM', freeKey(base, i), host) end
end

-- Writes the entries of a host, or removes them if it can start no instance.
local function indexHost(base, host)
  local load = loadOf(base, host)
  if freeOf(load, INSTANCES) < 1 or cordonOf(base, host) then return removeFromIndex(base, host) end
  for _, i in ipairs(INDEXED) do
    local free = freeOf(load, i)
    redis.call('ZADD', freeKey(base, i), free == math.huge and '+inf' or free, host)
  end
end

-- Indexes a host that is not in the index, such as one that was dead.
local function indexIfMissing(base, host)
  if not redis.call('ZSCORE', freeKey(base, MEMORY), host) then indexHost(base, host) end
end

-- Updates the entries of a host after a change of its usage by `instances`.
local function updateIndex(base, host, load, instances)
  local slots = freeOf(load, INSTANCES)
  if slots < 1 then return removeFromIndex(base, host) end
  -- It had no free slot before, so it was not in the index.
  if slots + instances < 1 then return indexHost(base, host) end
  for _, i in ipairs(INDEXED) do
    local free = freeOf(load, i)
    -- XX: a cordoned or dead host stays out of the index. A resource without a limit never changes.
    if free ~= math.huge then redis.call('ZADD', freeKey(base, i), 'XX', free, host) end
  end
end

-- Adds `size` to what is reserved on a host; subtracts it where sign is -1. Where no instance is left,
-- the hash is deleted. `load`: the present load of the host, where the caller knows it.
local function changeUsage(base, host, sign, size, load)
  load = load or loadOf(base, host)
  local key, fields = base .. 'host:' .. host .. ':used', {}
  for i, resource in ipairs(RESOURCES) do
    load.used[i] = load.used[i] + sign * size[i]
    fields[#fields + 1] = resource
    fields[#fields + 1] = load.used[i]
  end
  if load.used[INSTANCES] == 0 then
    redis.call('DEL', key)
    load.used = { 0, 0, 0 }
  else
    redis.call('HSET', key, unpack(fields))
  end
  updateIndex(base, host, load, sign * size[INSTANCES])
end

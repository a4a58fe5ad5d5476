-- Included before every script. The hosts: their capacity, usage, cordons, and the index that finds one
-- with free capacity.
--
-- The index is a sorted set per resource: host by how much of it is free. Its members are the hosts
-- that are not cordoned and were alive when the index was written last. A script that changes the
-- capacity, the usage or the cordon of a host updates the index in the same step, and each heartbeat
-- writes the entries of its host again. The index only proposes hosts: the hashes decide.

local RESOURCES = { 'instances', 'memory', 'cpus' }

local function usedKey(base, host) return base .. 'host:' .. host .. ':used' end

local function freeKey(base, resource) return base .. 'hosts-by-free:' .. resource end

-- Returns whether a host with this last heartbeat is alive.
local function isHostAlive(seenAt, now) return seenAt >= now - HOST_ALIVE_TIMEOUT_MS end

-- Returns the cordon of a host: a table, with `drain` if the host is being drained; nil if there is none.
local function cordonOf(base, host)
  local text = redis.call('HGET', base .. 'cordons', host)
  return text and cjson.decode(text) or nil
end

-- Returns the free resources of a host; infinite for a resource whose capacity it has not registered.
-- `used`: what is reserved on it, where the caller knows it.
local function availableOn(base, host, used)
  local max = redis.call('HMGET', base .. 'host:' .. host .. ':capacity', unpack(RESOURCES))
  used = used or redis.call('HMGET', usedKey(base, host), unpack(RESOURCES))
  local free = {}
  for i in ipairs(RESOURCES) do
    free[i] = max[i] and tonumber(max[i]) - tonumber(used[i] or 0) or math.huge
  end
  return free
end

local function writeIndex(base, host, free, ...)
  local flags = { ... }
  for i, resource in ipairs(RESOURCES) do
    flags[#flags + 1] = free[i] == math.huge and '+inf' or free[i]
    flags[#flags + 1] = host
    redis.call('ZADD', freeKey(base, resource), unpack(flags))
    flags = { ... }
  end
end

local function removeFromIndex(base, host)
  for _, resource in ipairs(RESOURCES) do redis.call('ZREM', freeKey(base, resource), host) end
end

-- Writes the entries of a host, or removes them if it is cordoned.
local function indexHost(base, host)
  if cordonOf(base, host) then return removeFromIndex(base, host) end
  writeIndex(base, host, availableOn(base, host))
end

-- Adds `size` to what is reserved on a host; subtracts it where sign is -1. Where no instance is left,
-- the hash is deleted. A host that is not in the index stays out of it.
local function changeUsage(base, host, sign, size)
  local key, used = usedKey(base, host), {}
  for i, resource in ipairs(RESOURCES) do
    used[i] = redis.call('HINCRBY', key, resource, sign * size[i])
    if used[i] == 0 and i == 1 then
      redis.call('DEL', key)
      used = { 0, 0, 0 }
      break
    end
  end
  writeIndex(base, host, availableOn(base, host, used), 'XX')
end

-- Included before every script. Chooses the host for an instance, and manages the queues of
-- instances that wait for capacity.

local function queueKey(base, template) return base .. 'template:' .. template.name .. ':queue' end

-- Returns whether a host with this last heartbeat is alive.
local function isHostAlive(seenAt, now) return seenAt >= now - HOST_ALIVE_TIMEOUT_MS end

-- Returns the alive host with the most free memory among those with enough capacity that are not
-- cordoned; true where no host has registered yet; nil where none has enough. If no host is alive, all
-- registered hosts count, because a host that restarts comes back.
local function pickHost(base, size)
  local now = nowMs()
  local hosts = redis.call('ZRANGE', base .. 'hosts', now - HOST_ALIVE_TIMEOUT_MS, '+inf', 'BYSCORE')
  if #hosts == 0 then hosts = redis.call('ZRANGE', base .. 'hosts', 0, -1) end
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

-- Returns the limit that prevents one more instance of a template: 'template' or 'hosts'; else nil.
local function exceededLimit(base, template)
  local max = template.maxInstances
  if max and redis.call('SCARD', templateInstancesKey(base, template)) >= max then return 'template' end
  if not pickHost(base, resourcesOf(template)) then return 'hosts' end
  return nil
end

-- Reserves capacity for an instance that no host has started. Another host with capacity may start
-- it too; the host with the reservation always may.
local function reserveCapacity(base, instance, id, template)
  redis.call('SADD', templateInstancesKey(base, template), id)
  local reserved = pickHost(base, resourcesOf(template))
  if reserved and reserved ~= true then reserveOnHost(base, instance, reserved) end
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

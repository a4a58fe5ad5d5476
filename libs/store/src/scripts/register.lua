-- Registers a host id with its fingerprint and its networks, and records a heartbeat of the host.
-- A network that overlaps a network of another live host is refused. A network of a dead host is
-- removed from that host's registration, so that proxies refuse its routes. An unchanged
-- registration writes the heartbeat only, and reads no other host.
-- KEYS: 1 hosts  2 registration of the host
-- ARGV: 1 host  2 boot id  3 id of its first Docker network
--       4 network id that this worker registered before (empty: none)
--       5 start: all or nothing, replaces the networks | refresh: adds what does not overlap |
--         release: the worker stops; until the next heartbeat another daemon of the same boot may
--         take the id, such as this daemon with a recreated network
--       6 how proxies reach its instances: bridge | published | routed
--       7 the ports of its networks that lead to instances, as FIRST-LAST (empty: every port)
--       8.. networks (IPv4 CIDR)
-- Returns {registered} |
--         {overlap, network, other host, network of that host, last heartbeat of that host, ...} |
--         {taken, boot id, network id, last heartbeat}: another live fingerprint has this host id |
--         {reach, reach, last heartbeat}: a live worker of this host has registered another reach.
local base, host, isStart = baseOf(KEYS[1]), ARGV[1], ARGV[5] == 'start'
local now = nowMs()

local function seenAt(name) return redis.call('ZSCORE', KEYS[1], name) or '0' end
local function isAlive(name) return isHostAlive(tonumber(seenAt(name)), now) end

-- Returns the first address of a network, and the one after its last.
local function rangeOf(cidr)
  local a, b, c, d, bits = string.match(cidr, '^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$')
  local first, size = ((a * 256 + b) * 256 + c) * 256 + d, 2 ^ (32 - bits)
  first = first - first % size
  return first, first + size
end

-- Returns the JSON of a registration. Equal sets give equal texts, so an unchanged registration is not
-- written again.
local function write(registration, set, isReleased)
  local list = {}
  for candidate in pairs(set) do list[#list + 1] = '"' .. candidate .. '"' end
  table.sort(list)
  local function optional(name)
    return registration[name] and string.format('"%s":"%s",', name, registration[name]) or ''
  end
  return string.format('{"boot":"%s","network":"%s",%s%s%s"networks":[%s]}', registration.boot,
    registration.network, optional('reach'), optional('ports'),
    isReleased and '"released":true,' or '', table.concat(list, ','))
end

local function asSet(list)
  local set = {}
  for _, candidate in ipairs(list) do set[candidate] = true end
  return set
end

local text = redis.call('GET', KEYS[2])
local current = text and cjson.decode(text)
local isOurs = current and current.boot == ARGV[2]
  and (current.network == ARGV[3] or current.network == ARGV[4])
local isReleased = current and current.released and current.boot == ARGV[2]
if current and not isOurs and not isReleased and isAlive(host) then
  return { 'taken', current.boot, current.network, seenAt(host) }
end

if isOurs and not isReleased and ARGV[5] ~= 'release'
  and ((current.reach or 'bridge') ~= ARGV[6] or (current.ports or '') ~= ARGV[7])
  and isAlive(host) then
  return { 'reach', current.reach or 'bridge', seenAt(host) }
end

if ARGV[5] == 'release' then
  if isOurs then
    redis.call('SET', KEYS[2], write(current, asSet(current.networks), true))
  end
  return { 'registered' }
end

local registered = isOurs and asSet(current.networks) or {}
local kept = (isOurs and not isStart) and asSet(current.networks) or {}
local refused, others, freed = { 'overlap' }, nil, {}

-- Returns the registrations of all other hosts, by name.
local function readOthers()
  local found = {}
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local theirs = name ~= host and redis.call('GET', base .. 'registration:' .. name)
    if theirs then found[name] = cjson.decode(theirs) end
  end
  return found
end

-- Returns the live host whose network overlaps this one, and that network. Records in `freed` the
-- networks that dead hosts lose.
local function holderOf(network)
  others = others or readOthers()
  local first, last = rangeOf(network)
  for name, theirs in pairs(others) do
    for _, candidate in ipairs(theirs.networks) do
      local from, to = rangeOf(candidate)
      if first < to and from < last then
        if isAlive(name) then return name, candidate end
        freed[name] = freed[name] or asSet(theirs.networks)
        freed[name][candidate] = nil
      end
    end
  end
end

for i = 8, #ARGV do
  local holder, theirs
  if not registered[ARGV[i]] then holder, theirs = holderOf(ARGV[i]) end
  if holder then
    for _, candidate in ipairs({ ARGV[i], holder, theirs, seenAt(holder) }) do refused[#refused + 1] = candidate end
  else
    kept[ARGV[i]] = true
  end
end
if isStart and #refused > 1 then return refused end

for name, rest in pairs(freed) do
  local theirs = others[name]
  redis.call('SET', base .. 'registration:' .. name, write(theirs, rest))
end
local registration = write({ boot = ARGV[2], network = ARGV[3],
  reach = ARGV[6] ~= 'bridge' and ARGV[6] or nil, ports = ARGV[7] ~= '' and ARGV[7] or nil }, kept)
if registration ~= text then redis.call('SET', KEYS[2], registration) end
redis.call('ZADD', KEYS[1], now, host)
indexIfMissing(base, host)
return #refused > 1 and refused or { 'registered' }

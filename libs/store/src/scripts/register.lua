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
--       8 the published address (empty: none)
--       9 hash of the ranges of its proxies (empty: none)
--       10 number of the networks that proxies connect to
--       11.. these networks (IPv4 CIDR), then the networks of its containers that proxies do not
--            connect to. Two hosts may share one of the latter, and nothing else.
-- Returns {registered} |
--         {overlap, network, other host, network of that host, last heartbeat of that host, ...} |
--         {taken, boot id, network id, last heartbeat}: another live fingerprint has this host id |
--         {reach, field, its registered value, last heartbeat}: a live worker of this host has
--         registered another reach | ports | address | proxies.
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
local function write(registration, networks, containers, isReleased)
  local function listOf(set)
    local list = {}
    for candidate in pairs(set) do list[#list + 1] = '"' .. candidate .. '"' end
    table.sort(list)
    return table.concat(list, ',')
  end
  local settings = ''
  for _, name in ipairs({ 'reach', 'ports', 'address', 'proxies' }) do
    if registration[name] then
      settings = settings .. string.format('"%s":"%s",', name, registration[name])
    end
  end
  return string.format('{"boot":"%s","network":"%s",%s%s"networks":[%s]%s}', registration.boot,
    registration.network, settings, isReleased and '"released":true,' or '', listOf(networks),
    next(containers) and ',"containers":[' .. listOf(containers) .. ']' or '')
end

local function asSet(list)
  local set = {}
  for _, candidate in ipairs(list or {}) do set[candidate] = true end
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

local settings = { reach = ARGV[6], ports = ARGV[7], address = ARGV[8], proxies = ARGV[9] }
if isOurs and not isReleased and ARGV[5] ~= 'release' then
  for _, name in ipairs({ 'reach', 'ports', 'address', 'proxies' }) do
    local theirs = current[name] or (name == 'reach' and 'bridge' or '')
    if theirs ~= settings[name] and isAlive(host) then
      return { 'reach', name, theirs, seenAt(host) }
    end
  end
end

if ARGV[5] == 'release' then
  if isOurs then
    redis.call('SET', KEYS[2], write(current, asSet(current.networks), asSet(current.containers), true))
  end
  return { 'registered' }
end

local function ours(name) return isOurs and asSet(current[name]) or {} end
local registered = { networks = ours('networks'), containers = ours('containers') }
local kept = isStart and { networks = {}, containers = {} }
  or { networks = ours('networks'), containers = ours('containers') }
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
-- networks that dead hosts keep. A machine delivers every address of its containers to them, also
-- when its proxy means an instance of another host: so a network of containers is compared with
-- what proxies connect to, and what proxies connect to with everything.
local function holderOf(network, kind)
  others = others or readOthers()
  local first, last = rangeOf(network)
  local compared = kind == 'networks' and { 'networks', 'containers' } or { 'networks' }
  for name, theirs in pairs(others) do
    for _, field in ipairs(compared) do
      for _, candidate in ipairs(theirs[field] or {}) do
        local from, to = rangeOf(candidate)
        if first < to and from < last then
          if isAlive(name) then return name, candidate end
          freed[name] = freed[name]
            or { networks = asSet(theirs.networks), containers = asSet(theirs.containers) }
          freed[name][field][candidate] = nil
        end
      end
    end
  end
end

for i = 11, #ARGV do
  local network, kind = ARGV[i], i <= 10 + tonumber(ARGV[10]) and 'networks' or 'containers'
  local holder, theirs
  if not registered[kind][network] then holder, theirs = holderOf(network, kind) end
  if holder then
    for _, part in ipairs({ network, holder, theirs, seenAt(holder) }) do refused[#refused + 1] = part end
  else
    kept[kind][network] = true
  end
end
if isStart and #refused > 1 then return refused end

for name, rest in pairs(freed) do
  local theirs = others[name]
  redis.call('SET', base .. 'registration:' .. name, write(theirs, rest.networks, rest.containers))
end
local fields = { boot = ARGV[2], network = ARGV[3] }
for name, value in pairs(settings) do
  if value ~= '' and value ~= 'bridge' then fields[name] = value end
end
local registration = write(fields, kept.networks, kept.containers)
if registration ~= text then redis.call('SET', KEYS[2], registration) end
redis.call('ZADD', KEYS[1], now, host)
indexIfMissing(base, host)
return #refused > 1 and refused or { 'registered' }

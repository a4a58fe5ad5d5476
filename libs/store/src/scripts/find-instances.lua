-- Finds live instances by what the lists of the hosts have: id, state, host, template and deadline. Reads
-- about ARGV[7] entries of these lists at most, so that Redis is blocked for a bounded time. Without a filter,
-- the order by generation needs none of them.
-- KEYS: 1 instances  2 pending
-- ARGV: 1 beginning of the id  2 state or ''  3 host or ''  4 template or ''
--       5 order: oldest, newest or deadline  6 offset  7 maximum of entries  8 limit, at most
--       9 hosts: JSON array of those that may be asked
-- Returns {ids of one page, number of matches, 1 where entries were left out, else 0}.
local prefix, state, host, template = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local order, offset, max, limit = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local base = baseOf(KEYS[1])

if order ~= 'deadline' and prefix .. state .. host .. template == '' then
  local range = order == 'newest' and 'ZREVRANGE' or 'ZRANGE'
  local ids = redis.call(range, KEYS[1], offset, offset + limit - 1)
  return { ids, redis.call('ZCARD', KEYS[1]), 0 }
end

-- The first of the matches in the requested order. Each is {id, number to sort by}.
local wanted, best, worst = offset + limit, {}, nil
local total, unread, isPartial = 0, max, 0

local function before(a, b)
  if a[2] ~= b[2] then return a[2] < b[2] end
  if order == 'newest' then return a[1] > b[1] end
  return a[1] < b[1]
end

local function trim()
  table.sort(best, before)
  for i = #best, wanted + 1, -1 do best[i] = nil end
  worst = best[wanted]
end

local function add(match)
  total = total + 1
  if worst and not before(match, worst) then return end
  best[#best + 1] = match
  if #best >= 2 * wanted then trim() end
end

-- Adds those that belong to the template. Lua limits the arguments of one call.
local function addOfTemplate(matches, isQueued)
  for first = 1, #matches, 1000 do
    local last = math.min(first + 999, #matches)
    local ids = {}
    for i = first, last do ids[#ids + 1] = matches[i][1] end
    local started = redis.call('SMISMEMBER', base .. 'template:' .. template .. ':instances', unpack(ids))
    local queued = isQueued
      and redis.call('ZMSCORE', base .. 'template:' .. template .. ':queue', unpack(ids))
    for i = first, last do
      local at = i - first + 1
      if started[at] == 1 or (queued and queued[at]) then add(matches[i]) end
    end
  end
end

local function addAll(matches, isQueued)
  if template ~= '' then return addOfTemplate(matches, isQueued) end
  for _, match in ipairs(matches) do add(match) end
end

-- Returns at most as many entries of a hash as may still be read. HSCAN returns all of a small hash.
local function readList(list)
  local size = redis.call('HLEN', list)
  if size <= unread then
    unread = unread - size
    return redis.call('HGETALL', list)
  end
  isPartial = 1
  if unread == 0 then return {} end
  local flat = redis.call('HSCAN', list, 0, 'COUNT', unread)[2]
  unread = 0
  return flat
end

local function hostMatches(flat)
  local matches = {}
  for i = 1, #flat, 2 do
    local id = flat[i]
    if string.sub(id, 1, #prefix) == prefix then
      local generation, itsState, deadline = string.match(flat[i + 1], '^(%d+):(%a+):(%d+)')
      if state == '' or itsState == state then
        local by = tonumber(order == 'deadline' and deadline or generation)
        matches[#matches + 1] = { id, order == 'newest' and -by or by }
      end
    end
  end
  return matches
end

for _, name in ipairs(host ~= '' and { host } or cjson.decode(ARGV[9])) do
  addAll(hostMatches(readList(base .. 'host:' .. name .. ':instances')), false)
end
if host == '' and (state == '' or state == 'pending') then
  local size = redis.call('ZCARD', KEYS[2])
  if size > unread then isPartial = 1 end
  local waiting = unread > 0 and redis.call('ZRANGE', KEYS[2], 0, unread - 1, 'WITHSCORES') or {}
  local matches = {}
  for i = 1, #waiting, 2 do
    if string.sub(waiting[i], 1, #prefix) == prefix then
      -- Their generation is not listed here. They are later than all others.
      local by = order == 'deadline' and tonumber(waiting[i + 1]) or 1 / 0
      matches[#matches + 1] = { waiting[i], order == 'newest' and -by or by }
    end
  end
  addAll(matches, true)
end

trim()
local page = {}
for i = offset + 1, math.min(offset + limit, #best) do page[#page + 1] = best[i][1] end
return { page, total, isPartial }

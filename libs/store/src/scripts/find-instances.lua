-- Finds live instances by what the lists of the hosts have: id, state, host, template and deadline. Reads
-- at most ARGV[7] entries of these lists, so that Redis is blocked for a bounded time.
-- KEYS: 1 instances  2 pending
-- ARGV: 1 beginning of the id  2 state or ''  3 host or ''  4 template or ''
--       5 order: oldest, newest or deadline  6 offset  7 maximum of entries  8 limit, at most
--       9 hosts: JSON array of those that may be asked
-- Returns {ids of one page, number of matches, 1 where entries were left out, else 0}.
local prefix, state, host, template = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local order, offset, max, limit = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local base = baseOf(KEYS[1])
local found, read, isPartial = {}, 0, 0

local members
if template ~= '' then
  members = {}
  for _, set in ipairs({ 'SMEMBERS', 'ZRANGE' }) do
    local ids = set == 'SMEMBERS' and redis.call(set, base .. 'template:' .. template .. ':instances')
      or redis.call(set, base .. 'template:' .. template .. ':queue', 0, -1)
    for _, id in ipairs(ids) do members[id] = true end
  end
end

local function consider(id, itsState, generation, deadline)
  if string.sub(id, 1, #prefix) ~= prefix then return end
  if state ~= '' and itsState ~= state then return end
  if members and not members[id] then return end
  found[#found + 1] = { id, generation, deadline }
end

for _, name in ipairs(host ~= '' and { host } or cjson.decode(ARGV[9])) do
  local list = base .. 'host:' .. name .. ':instances'
  local size = redis.call('HLEN', list)
  if read > 0 and read + size > max then
    isPartial = 1
  elseif size > 0 then
    read = read + size
    local flat = redis.call('HGETALL', list)
    for i = 1, #flat, 2 do
      local generation, itsState, deadline = string.match(flat[i + 1], '^(%d+):(%a+):(%d+)')
      consider(flat[i], itsState, tonumber(generation), tonumber(deadline))
    end
  end
end
if host == '' then
  local waiting = redis.call('ZRANGE', KEYS[2], 0, max - 1, 'WITHSCORES')
  for i = 1, #waiting, 2 do
    local deadline = tonumber(waiting[i + 1])
    -- Their generation is not listed here. They are later than all others.
    consider(waiting[i], 'pending', 1 / 0, deadline)
  end
end

local function before(a, b, at)
  if a[at] == b[at] then return a[1] < b[1] end
  return a[at] < b[at]
end
table.sort(found, function(a, b)
  if order == 'deadline' then return before(a, b, 3) end
  if order == 'newest' then return before(b, a, 2) end
  return before(a, b, 2)
end)
local page = {}
for i = offset + 1, math.min(offset + limit, #found) do page[#page + 1] = found[i][1] end
return { page, #found, isPartial }

-- starting → ready: the route appears, and the TTL counts from now, up to the ceiling. An instance of a
-- pool becomes warm instead: it gets no route and may be claimed. Idempotent for the same address,
-- also after a claim, because two runs of one job may overlap.
-- KEYS: 1 instance  2 route  3 events  4 expiring
-- ARGV: 1 generation  2 address  3 id  4 host (empty: any)  5 published ports, JSON (empty: none)
-- Returns {expiresAt, maxExpiresAt, startedAt, replaced | nil} | nil: the generation was superseded, or
-- another host has started it. `replaced` is the instance whose lease ends sooner, see moveName: the one
-- before it, or itself.
local record = recordOf(KEYS[1])
if isServing(record.state) and record.address == ARGV[2] then
  return { tonumber(record.expiresAt), tonumber(record.maxExpiresAt), tonumber(record.startedAt) }
end
if record.state ~= 'starting' or record.generation ~= ARGV[1] then return nil end
if ARGV[4] ~= '' and record.host ~= ARGV[4] then return nil end
local now, ceiling, pool = nowMs(), tonumber(record.maxExpiresAt), record.pool
local deadline = math.min(now + tonumber(record.timeout), ceiling)
local fields = { 'state', pool and 'warm' or 'ready', 'address', ARGV[2], 'startedAt', now,
  'expiresAt', deadline, 'lastTransitionAt', now }
if ARGV[5] ~= '' then
  fields[#fields + 1] = 'published'
  fields[#fields + 1] = ARGV[5]
end
if pool then
  setFields(KEYS[1], 'verifiedRunId', runId(), unpack(fields))
  redis.call('ZADD', baseOf(KEYS[1]) .. 'pool:' .. pool .. ':warm', deadline, ARGV[3])
  emit(KEYS[3], KEYS[1], 'warm')
else
  setFields(KEYS[1], 'activeAt', now, unpack(fields))
  writeReadyRoute(KEYS[2], KEYS[1])
  scheduleExpiryNotice(KEYS[4], KEYS[1], ARGV[3])
  emit(KEYS[3], KEYS[1], 'ready')
end
local replaced = moveName(baseOf(KEYS[1]), record)
return { tonumber(record.expiresAt), ceiling, now, replaced }

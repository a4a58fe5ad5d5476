-- Included before every script. Stable names. A name leads to one instance. It moves to another one in
-- the step in which that one becomes ready, so that there is always one that serves. The generation of a
-- name is that of the last creation for it: an older creation that becomes ready later does not get it.

local function nameKey(base, name) return base .. 'name:' .. name end

-- Returns the reply that refuses to change a name, or nil. `wanted` has: name; match (the generation that
-- it must have, or `*`: any); isNew (it must not exist); owner (absent: any owner).
local function refusedName(base, wanted)
  local known = redis.call('HMGET', nameKey(base, wanted.name), 'generation', 'owner')
  if known[1] and wanted.owner and known[2] ~= wanted.owner then return { 'foreign' } end
  local isMatch = not wanted.match or (known[1] and (wanted.match == '*' or wanted.match == known[1]))
  if not isMatch or (wanted.isNew and known[1]) then return { 'unmatched', known[1] or '' } end
  return nil
end

-- Returns the limit that one more name exceeds, or nil. Forgets the names whose time has passed.
local function namesExceeded(base, name, owner)
  if redis.call('EXISTS', nameKey(base, name)) == 1 then return nil end
  local counted = { [base .. 'names'] = MAX_NAMES, [base .. 'owner-names:' .. owner] = MAX_NAMES_PER_OWNER }
  for key, max in pairs(counted) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', nowMs())
    if redis.call('ZCARD', key) >= max then return 'names' end
  end
  return nil
end

-- `PLANNED_ENDS` of the domain. Any other end within NAME_STABLE_MS after the instance was ready is a
-- crash, as is a failed start.
local PLANNED_ENDS = { ttl = true, idle = true, request = true, host_drained = true, replaced = true }

-- Counts how many instances of a name in a row have crashed. Called when the instance ends, because its
-- record expires before the name.
local function countCrash(key, record, reason)
  local startedAt = tonumber(record.startedAt)
  if PLANNED_ENDS[reason] or (startedAt and nowMs() - startedAt >= NAME_STABLE_MS) then
    redis.call('HDEL', key, 'crashes')
  else
    redis.call('HINCRBY', key, 'crashes', 1)
  end
end

-- Returns the reply that refuses to start a name by a visit, or nil.
local function refusedVisit(base, name)
  local known = redis.call('HMGET', nameKey(base, name), 'id', 'generation', 'next', 'onVisit', 'crashes')
  local id, generation = known[1], known[2]
  local record = recordOf(base .. 'instance:' .. id)
  local next = known[3] and recordOf(base .. 'instance:' .. known[3]).state
  local isOver = not record.state or record.state == 'draining' or record.state == 'gone' or record.state == 'failed'
  if not known[4] or not isOver or next == 'pending' or next == 'starting' then
    return { 'unmatched', generation }
  end
  if tonumber(known[5] or '0') < MAX_NAME_CRASHES then return nil end
  return { 'crashing', id, record.reason or 'exited' }
end

-- Writes the route of a name, which expires with the name.
local function writeNameRoute(base, name, ended)
  local known = redis.call('HMGET', nameKey(base, name), 'id', 'generation', 'expiresAt', 'onVisit')
  if not known[1] then return end
  redis.call('SET', base .. 'route:@' .. name, cjson.encode({
    state = 'name', id = known[1], generation = tonumber(known[2]), ended = ended,
    startsOnVisit = known[4] and true or nil }),
    'PX', math.max(1, tonumber(known[3]) - nowMs()))
end

-- Ends the lease of an instance at `deadline` at the latest, permanently: nothing prolongs a lease with
-- `replacedBy`. That is the id of the instance that has its name now, or empty if its name was removed.
-- Returns {id, generation, host, ms until its deadline}.
local function cutLease(base, id, deadline, replacedBy)
  local instance, route = base .. 'instance:' .. id, base .. 'route:' .. id
  local record = recordOf(instance)
  deadline = math.min(tonumber(record.expiresAt), deadline)
  setFields(instance, 'expiresAt', deadline, 'replacedBy', replacedBy)
  local fields = cjson.decode(redis.call('GET', route))
  fields.expiresAt = deadline
  redis.call('SET', route, cjson.encode(fields))
  scheduleExpiryNotice(base .. 'expiring', instance, id)
  emit(base .. 'events', instance, 'renewed')
  return { id, tonumber(record.generation), record.host, math.max(0, deadline - nowMs()) }
end

-- Sets what a visit starts, nil: nothing; and how many crashes there were in a row, nil: none.
local function setRestart(key, restart, crashes)
  if restart then
    redis.call('HSET', key, 'restart', restart, 'onVisit', 'start')
  else
    redis.call('HDEL', key, 'restart', 'onVisit')
  end
  if crashes then redis.call('HSET', key, 'crashes', crashes) else redis.call('HDEL', key, 'crashes') end
end

-- Forgets a name.
local function deleteName(base, name, owner)
  redis.call('DEL', nameKey(base, name), base .. 'route:@' .. name)
  redis.call('ZREM', base .. 'names', name)
  redis.call('ZREM', base .. 'owner-names:' .. owner, name)
end

-- Gives a name to an instance that was just created. If the name leads to an instance that serves, it
-- moves later. The instance keeps in `nameBefore` what a withdrawal restores: the generation that it
-- gives to the name, and what the name had before. Returns the instance that was starting for the name,
-- which does not get it any more; or nil.
local function assignName(base, wanted, record)
  local key, now = nameKey(base, wanted.name), nowMs()
  local known = redis.call('HMGET', key, 'id', 'next', 'owner', 'generation', 'drain', 'restart', 'expiresAt', 'crashes')
  local current, superseded = known[1], known[2] or nil
  setFields(base .. 'instance:' .. record.id, 'nameBefore', cjson.encode({
    own = record.generation, id = current or nil, next = superseded,
    generation = known[4] or nil, drain = known[5] or nil, restart = known[6] or nil, crashes = known[8] or nil }))
  local state = current and recordOf(base .. 'instance:' .. current).state
  local owner = known[3] or wanted.newOwner
  local drain, ttl = wanted.drain, wanted.ttl
  if wanted.isVisit then
    drain, ttl = known[5], math.max(1, tonumber(known[7]) - now)
  else
    setRestart(key, wanted.restart)
  end
  if state == 'ready' or state == 'paused' then
    redis.call('HSET', key, 'next', record.id)
  else
    if state == 'pending' or state == 'starting' then superseded = current end
    redis.call('HSET', key, 'id', record.id)
    redis.call('HDEL', key, 'next')
  end
  if not current then redis.call('HSET', key, 'createdAt', now) end
  redis.call('HSET', key, 'name', wanted.name, 'generation', record.generation, 'owner', owner,
    'drain', drain, 'updatedAt', now, 'expiresAt', now + ttl)
  redis.call('PEXPIRE', key, ttl)
  writeNameRoute(base, wanted.name)
  redis.call('ZADD', base .. 'names', now + ttl, wanted.name)
  local owned = base .. 'owner-names:' .. owner
  redis.call('ZADD', owned, now + ttl, wanted.name)
  redis.call('PEXPIRE', owned, math.max(ttl, redis.call('PTTL', owned)))
  return superseded
end

-- Takes the name back from a creation that is withdrawn: the name leads to the instances of the last
-- creation that was not. Does nothing if a later creation has the name.
local function withdrawName(base, record)
  if not record.name or not record.nameBefore then return end
  local key, before = nameKey(base, record.name), cjson.decode(record.nameBefore)
  local known = redis.call('HMGET', key, 'generation', 'owner')
  if known[1] ~= before.own then return end
  while before.id do
    local holder = recordOf(base .. 'instance:' .. (before.next or before.id))
    if not (holder.withdrawn and holder.nameBefore) then break end
    before = cjson.decode(holder.nameBefore)
  end
  if not before.id then return deleteName(base, record.name, known[2]) end
  local current = recordOf(base .. 'instance:' .. before.id)
  if before.next and not isServing(current.state) then
    before.id, before.next = before.next, nil
    current = recordOf(base .. 'instance:' .. before.id)
  end
  redis.call('HSET', key, 'id', before.id, 'generation', before.generation, 'drain', before.drain)
  if before.next then redis.call('HSET', key, 'next', before.next) else redis.call('HDEL', key, 'next') end
  setRestart(key, before.restart, before.crashes)
  writeNameRoute(base, record.name, not current.accessHash and current.reason or nil)
end

-- Moves the name of an instance that has become ready. The instance before it gets a deadline in `drain`
-- ms, so that the requests that it serves can end. If the name was removed or given to a later creation
-- meanwhile, the lease of the ready instance itself ends now: no visitor would find it. Returns what
-- `cutLease` returns, or nil if no lease changes.
local function moveName(base, record)
  if not record.name then return nil end
  local key = nameKey(base, record.name)
  local known = redis.call('HMGET', key, 'id', 'generation', 'drain')
  if known[2] ~= record.generation then return cutLease(base, record.id, nowMs(), known[1] or '') end
  if known[1] == record.id then return nil end
  redis.call('HSET', key, 'id', record.id)
  redis.call('HDEL', key, 'next')
  writeNameRoute(base, record.name)
  local before = recordOf(base .. 'instance:' .. known[1])
  if before.state ~= 'ready' and before.state ~= 'paused' then return nil end
  return cutLease(base, known[1], nowMs() + tonumber(known[3]), record.id)
end

-- Counts the crash of an instance, and records in the route of its name why it ended: its tombstone
-- expires before the name. Not the reason of a guarded instance: without its tombstone, nobody could tell
-- who may learn it. If another instance is starting for the name, the name leads to that one, so that
-- visitors wait for it.
local function endName(base, record, reason)
  if not record.name then return end
  local key = nameKey(base, record.name)
  local known = redis.call('HMGET', key, 'id', 'next')
  if known[1] ~= record.id then return end
  local state = known[2] and recordOf(base .. 'instance:' .. known[2]).state
  if state == 'pending' or state == 'starting' then
    redis.call('HSET', key, 'id', known[2])
    redis.call('HDEL', key, 'next')
    writeNameRoute(base, record.name)
    return
  end
  countCrash(key, record, reason)
  if not record.accessHash then writeNameRoute(base, record.name, reason) end
end

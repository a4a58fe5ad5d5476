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

-- Writes the route of a name, which expires with the name.
local function writeNameRoute(base, name, ended)
  local known = redis.call('HMGET', nameKey(base, name), 'id', 'generation', 'expiresAt')
  if not known[1] then return end
  redis.call('SET', base .. 'route:@' .. name, cjson.encode({
    state = 'name', id = known[1], generation = tonumber(known[2]), ended = ended }),
    'PX', math.max(1, tonumber(known[3]) - nowMs()))
end

-- Gives a name to an instance that was just created. If the name leads to an instance that serves, it
-- moves later. Returns the instance that was starting for the name, which does not get it any more; or nil.
local function assignName(base, wanted, record)
  local key, now = nameKey(base, wanted.name), nowMs()
  local known = redis.call('HMGET', key, 'id', 'next', 'owner')
  local current, superseded = known[1], known[2] or nil
  local state = current and recordOf(base .. 'instance:' .. current).state
  local owner = known[3] or wanted.newOwner
  if state == 'ready' or state == 'paused' then
    redis.call('HSET', key, 'next', record.id)
  else
    if state == 'pending' or state == 'starting' then superseded = current end
    redis.call('HSET', key, 'id', record.id)
    redis.call('HDEL', key, 'next')
  end
  if not current then redis.call('HSET', key, 'createdAt', now) end
  redis.call('HSET', key, 'name', wanted.name, 'generation', record.generation, 'owner', owner,
    'drain', wanted.drain, 'updatedAt', now, 'expiresAt', now + wanted.ttl)
  redis.call('PEXPIRE', key, wanted.ttl)
  writeNameRoute(base, wanted.name)
  redis.call('ZADD', base .. 'names', now + wanted.ttl, wanted.name)
  local owned = base .. 'owner-names:' .. owner
  redis.call('ZADD', owned, now + wanted.ttl, wanted.name)
  redis.call('PEXPIRE', owned, math.max(wanted.ttl, redis.call('PTTL', owned)))
  return superseded
end

-- Moves the name of an instance that has become ready. The instance before it gets a deadline in `drain`
-- ms, so that the requests that it serves can end. Returns {id, generation, host, ms until its deadline}
-- of that instance, or nil.
local function moveName(base, record, events, expiring)
  if not record.name then return nil end
  local key = nameKey(base, record.name)
  local known = redis.call('HMGET', key, 'id', 'generation', 'drain')
  if known[2] ~= record.generation or known[1] == record.id then return nil end
  redis.call('HSET', key, 'id', record.id)
  redis.call('HDEL', key, 'next')
  writeNameRoute(base, record.name)
  local id = known[1]
  local instance, route = base .. 'instance:' .. id, base .. 'route:' .. id
  local before = recordOf(instance)
  if before.state ~= 'ready' and before.state ~= 'paused' then return nil end
  local now = nowMs()
  local deadline = math.min(tonumber(before.expiresAt), now + tonumber(known[3]))
  setFields(instance, 'expiresAt', deadline, 'replacedBy', record.id)
  local fields = cjson.decode(redis.call('GET', route))
  fields.expiresAt = deadline
  redis.call('SET', route, cjson.encode(fields))
  scheduleExpiryNotice(expiring, instance, id)
  emit(events, instance, 'renewed')
  return { id, tonumber(before.generation), before.host, deadline - now }
end

-- Records in the route of a name why its instance ended, because the tombstone expires before the name.
-- Not for a guarded instance: without its tombstone, nobody could tell who may learn the reason.
local function endName(base, record, reason)
  if not record.name or record.accessHash then return end
  local id = redis.call('HGET', nameKey(base, record.name), 'id')
  if id == record.id then writeNameRoute(base, record.name, reason) end
end

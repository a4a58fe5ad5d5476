-- Creates an instance as pending, with its lease and its route. If there is no capacity, or other
-- instances are queued, it joins the queue of its template where `context.queue` allows that.
-- KEYS: 1 instance  2 route  3 instances (live, by generation)  4 generation counter
--       5 pending (by start deadline)  6 events
-- ARGV: 1 id  2 timeout ms  3 startWithin ms  4 maxTimeout ms  5 template JSON  6 env JSON
--       7 metadata JSON  8 url  9 idleTimeout ms (empty: none)  10 context JSON (ScriptContext)
-- Returns {created | queued, generation, now, expiresAt, maxExpiresAt, superseded id | nil} | {taken} |
--         {full, limit} | {foreign} | {unmatched, generation} | {crashing, id, reason} | {exhausted, kind} | {stocked} |
--         {repeated, id, fields, salt | nil} | {reused} | {withdrawn}.
local base, id = baseOf(KEYS[1]), ARGV[1]
local template, context = cjson.decode(ARGV[5]), cjson.decode(ARGV[10])
-- ioredis repeats a command whose connection broke before the reply. The repetition gets the same
-- reply.
local known = recordOf(KEYS[1])
if known.state then
  if known.attempt ~= context.attempt then return { 'taken' } end
  return { known.queued and 'queued' or 'created', tonumber(known.generation),
    tonumber(known.createdAt), tonumber(known.expiresAt), tonumber(known.maxExpiresAt) }
end
if known.withdrawn then return { 'withdrawn' } end
local kept = storedAnswer(base, context)
if kept then return kept end
local pool = context.pool and base .. 'pool:' .. context.pool
if pool and (isBackingOff(base, context.pool) or redis.call('SCARD', pool) >= context.desired) then
  return { 'stocked' }
end
local named = context.name
if named then
  local refused = refusedName(base, named)
  refused = refused or (named.isVisit and refusedVisit(base, named.name))
  if refused then return refused end
  local tooMany = namesExceeded(base, named.name, named.newOwner)
  if tooMany then return { 'full', tooMany } end
end
local exhausted = exhaustedGrant(base, context)
if exhausted then return { 'exhausted', exhausted } end
local limit = quotaExceeded(base, context.quotaOwner)
if limit then return { 'full', limit } end
local queue = queueKey(base, template)
local waiting = redis.call('ZCARD', queue)
local full, host, load = exceededLimit(base, template)
full = full or (waiting > 0 and 'template')
if full and not context.queue then return { 'full', full } end
if full and waiting >= template.maxQueued then return { 'full', 'queue' } end

local now = nowMs()
local generation = context.generation or nextGeneration(KEYS[4])
local timeoutMs = tonumber(full and template.queueTimeout or ARGV[3])
local ceiling = now + tonumber(ARGV[4]) + (full and timeoutMs or 0)
local deadline = math.min(now + timeoutMs, ceiling)
local fields = {
  'id', id, 'generation', generation, 'state', 'pending', 'template', ARGV[5],
  'timeout', ARGV[2], 'env', ARGV[6], 'metadata', ARGV[7], 'url', ARGV[8], 'createdAt', now,
  'lastTransitionAt', now, 'expiresAt', deadline, 'maxExpiresAt', ceiling }
local function with(name, value)
  if not value then return end
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
with('idleTimeout', ARGV[9] ~= '' and ARGV[9])
with('attempt', context.attempt)
with('signature', context.signature)
with('token', context.secret)
with('accessHash', context.accessHash)
with('path', context.path)
with('owner', context.quotaOwner and context.quotaOwner.name)
with('queued', full and 'true')
with('pool', context.pool)
with('name', named and named.name)
if not full then with('reservedHost', reserveCapacity(base, id, template, host, load)) end
setFields(KEYS[1], unpack(fields))
redis.call('ZADD', KEYS[3], generation, id)
redis.call('ZADD', KEYS[5], deadline, id)
recordQuotaOwner(base, context.quotaOwner, id)
storeAnswer(base, context, id)
redeem(base, context)
if full then
  redis.call('ZADD', queue, generation, id)
  redis.call('SADD', base .. 'queues', template.name)
end
if pool then
  -- It gets its route when it is claimed. Until then no client knows its id.
  redis.call('SADD', pool, id)
  redis.call('SADD', base .. 'pool-fingerprints', context.pool)
else
  writeRoute(KEYS[2], KEYS[1], { state = 'pending', generation = generation })
end
emit(KEYS[6], KEYS[1], 'pending')
local superseded = named and assignName(base, named, recordOf(KEYS[1]))
return { full and 'queued' or 'created', generation, now, deadline, ceiling, superseded }

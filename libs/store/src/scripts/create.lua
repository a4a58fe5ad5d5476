-- Creates an instance as pending, with its lease and its route. If there is no capacity, or other
-- instances are queued, it joins the queue of its template where `context.queue` allows that.
-- KEYS: 1 instance  2 route  3 instances (live, by generation)  4 generation counter
--       5 pending (by start deadline)  6 events
-- ARGV: 1 id  2 timeout ms  3 startWithin ms  4 maxTimeout ms  5 template JSON  6 env JSON
--       7 metadata JSON  8 url  9 idleTimeout ms (empty: none)  10 context JSON (ScriptContext)
-- Returns {created | queued, generation, now, expiresAt, maxExpiresAt} | {taken} |
--         {full, limit} | {exhausted, kind} | {stocked} | {repeated, id, fields} | {reused}.
local base, id = baseOf(KEYS[1]), ARGV[1]
-- ioredis repeats a command whose connection broke before the reply. The repetition gets the same
-- reply.
local has = redis.call('HMGET', KEYS[1], 'state', 'timeout', 'template', 'env', 'metadata', 'url')
if has[1] then
  local same = (has[1] == 'pending' or has[1] == 'starting') and has[2] == ARGV[2] and has[3] == ARGV[5]
    and has[4] == ARGV[6] and has[5] == ARGV[7] and has[6] == ARGV[8]
  if not same then return { 'taken' } end
  has = redis.call('HMGET', KEYS[1], 'queued', 'generation', 'createdAt', 'expiresAt', 'maxExpiresAt')
  return { has[1] and 'queued' or 'created', tonumber(has[2]), tonumber(has[3]), tonumber(has[4]),
    tonumber(has[5]) }
end
local template, context = cjson.decode(ARGV[5]), cjson.decode(ARGV[10])
local kept = storedAnswer(base, context)
if kept then return kept end
local pool = context.pool and base .. 'pool:' .. context.pool
if pool and (isBackingOff(base, context.pool) or redis.call('SCARD', pool) >= context.desired) then
  return { 'stocked' }
end
local exhausted = exhaustedGrant(base, context)
if exhausted then return { 'exhausted', exhausted } end
local limit = quotaExceeded(base, context.quotaOwner)
if limit then return { 'full', limit } end
local queue = queueKey(base, template)
local waiting = redis.call('ZCARD', queue)
local full, host = exceededLimit(base, template)
full = full or (waiting > 0 and 'template')
if full and not context.queue then return { 'full', full } end
if full and waiting >= template.maxQueued then return { 'full', 'queue' } end

local now = nowMs()
local generation = context.generation or nextGeneration(KEYS[4])
local timeoutMs = tonumber(full and template.queueTimeout or ARGV[3])
local ceiling = now + tonumber(ARGV[4]) + (full and timeoutMs or 0)
local deadline = math.min(now + timeoutMs, ceiling)
redis.call('HSET', KEYS[1],
  'id', id, 'generation', generation, 'state', 'pending', 'template', ARGV[5],
  'timeout', ARGV[2], 'env', ARGV[6], 'metadata', ARGV[7], 'url', ARGV[8], 'createdAt', now,
  'lastTransitionAt', now, 'expiresAt', deadline, 'maxExpiresAt', ceiling)
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'idleTimeout', ARGV[9]) end
if context.signature then redis.call('HSET', KEYS[1], 'signature', context.signature) end
if context.secret then redis.call('HSET', KEYS[1], 'token', context.secret) end
if context.accessHash then redis.call('HSET', KEYS[1], 'accessHash', context.accessHash) end
if context.path then redis.call('HSET', KEYS[1], 'path', context.path) end
redis.call('ZADD', KEYS[3], generation, id)
redis.call('ZADD', KEYS[5], deadline, id)
recordQuotaOwner(base, context.quotaOwner, KEYS[1], id)
storeAnswer(base, context, id)
redeem(base, context)
if full then
  redis.call('HSET', KEYS[1], 'queued', 'true')
  redis.call('ZADD', queue, generation, id)
  redis.call('SADD', base .. 'queues', template.name)
else
  reserveCapacity(base, KEYS[1], id, template, host)
end
if pool then
  -- It gets its route when it is claimed. Until then no client knows its id.
  redis.call('HSET', KEYS[1], 'pool', context.pool)
  redis.call('SADD', pool, id)
  redis.call('SADD', base .. 'pool-fingerprints', context.pool)
else
  writeRoute(KEYS[2], KEYS[1], { state = 'pending', generation = generation })
end
emit(KEYS[6], KEYS[1], 'pending')
return { full and 'queued' or 'created', generation, now, deadline, ceiling }

-- warm → ready. Hands out the warm instance with the earliest deadline, in one step: the lease counts
-- from now, the route appears under a new generation, and the instance leaves its pool.
-- KEYS: 1 warm instances of the pool (by deadline)  2 generation counter  3 events  4 expiring
-- ARGV: 1 fingerprint of the pool  2 timeout ms  3 metadata JSON  4 context JSON (ScriptContext)
-- Returns {claimed, fields} | {none} | {full, limit} | {exhausted, kind} | {repeated, id, fields, salt | nil} |
--         {reused} | {withdrawn}.
local base, context = baseOf(KEYS[1]), cjson.decode(ARGV[4])
-- ioredis repeats a command whose connection broke before the reply. The repetition gets the same
-- reply.
local claim = base .. 'claim:' .. context.attempt
local had = redis.call('GET', claim)
if had == '' then return { 'withdrawn' } end
if had then return { 'claimed', replyOf(base .. 'instance:' .. had) } end
local kept = storedAnswer(base, context)
if kept then return kept end
local exhausted = exhaustedGrant(base, context)
if exhausted then return { 'exhausted', exhausted } end
local limit = quotaExceeded(base, context.quotaOwner)
if limit then return { 'full', limit } end
local now = nowMs()
-- Skip an instance that was warm before Redis may have lost writes: it may have been claimed.
local currentRunId, id, instance = runId(), nil, nil
for _, candidate in ipairs(redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE', 'LIMIT', 0, 100)) do
  instance = base .. 'instance:' .. candidate
  if redis.call('HGET', instance, 'verifiedRunId') == currentRunId then
    id = candidate
    break
  end
end
if not id then return { 'none' } end
local generation = nextGeneration(KEYS[2])
local ceiling = now + templateOf(instance).maxTimeout
removeFromPool(base, ARGV[1], id)
removeFields(instance, 'pool', 'verifiedRunId')
local pooledAs = recordOf(instance).generation
setFields(instance, 'supersedes', pooledAs, 'pooledAs', pooledAs, 'state', 'ready', 'generation', generation, 'timeout', ARGV[2],
  'metadata', ARGV[3], 'createdAt', now, 'startedAt', now, 'activeAt', now,
  'lastTransitionAt', now, 'expiresAt', math.min(now + tonumber(ARGV[2]), ceiling),
  'maxExpiresAt', ceiling)
if context.accessHash then setFields(instance, 'accessHash', context.accessHash) end
if context.path then setFields(instance, 'path', context.path) end
if context.quotaOwner then setFields(instance, 'owner', context.quotaOwner.name) end
recordQuotaOwner(base, context.quotaOwner, id)
storeAnswer(base, context, id)
redis.call('SET', claim, id, 'PX', ATTEMPT_TTL_MS)
redeem(base, context)
writeReadyRoute(base .. 'route:' .. id, instance)
scheduleExpiryNotice(KEYS[4], instance, id)
emit(KEYS[3], instance, 'ready')
return { 'claimed', replyOf(instance) }

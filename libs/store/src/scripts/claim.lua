-- warm → ready: hands the warm instance that waits longest to a visitor, in one step: its lease
-- counts from now, its route appears under a new generation, and it is in no pool any more.
-- KEYS: 1 warm instances of the pool (by deadline)  2 generation counter  3 events  4 expiring
-- ARGV: 1 fingerprint of the pool  2 timeout ms  3 metadata JSON  4 order JSON (write-intent.ts)
--       5 name of this claim
-- Returns {claimed, fields} | {none} | {full, limit} | {spent, kind} | {repeated, id, fields} | {reused}.
local base, context = baseOf(KEYS[1]), cjson.decode(ARGV[4])
-- Kept for 10 s: a client that lost its connection before it had the answer asks
-- again at once.
local claim = base .. 'claim:' .. ARGV[5]
local had = redis.call('GET', claim)
if had then return { 'claimed', redis.call('HGETALL', base .. 'instance:' .. had) } end
local kept = storedAnswer(base, context)
if kept then return kept end
local exhausted = exhaustedGrant(base, context)
if exhausted then return { 'exhausted', exhausted } end
local limit = quotaExceeded(base, context.quotaOwner)
if limit then return { 'full', limit } end
local now = nowMs()
-- One that was warm for a Redis whose last writes may be lost is passed over: somebody may have it.
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
redis.call('ZREM', KEYS[1], id)
redis.call('SREM', base .. 'pool:' .. ARGV[1], id)
redis.call('HDEL', instance, 'pool', 'verifiedRunId')
local pooledAs = redis.call('HGET', instance, 'generation')
redis.call('HSET', instance, 'supersedes', pooledAs, 'pooledAs', pooledAs)
redis.call('HSET', instance, 'state', 'ready', 'generation', generation, 'timeout', ARGV[2],
  'metadata', ARGV[3], 'createdAt', now, 'startedAt', now, 'activeAt', now,
  'lastTransitionAt', now, 'expiresAt', math.min(now + tonumber(ARGV[2]), ceiling),
  'maxExpiresAt', ceiling)
if context.accessHash then redis.call('HSET', instance, 'accessHash', context.accessHash) end
recordQuotaOwner(base, context.quotaOwner, instance, id)
storeAnswer(base, context, id)
redis.call('SET', claim, id, 'PX', 10000)
redeem(base, context)
writeReadyRoute(base .. 'route:' .. id, instance)
scheduleExpiryNotice(KEYS[4], instance, id)
emit(KEYS[3], instance, 'ready')
return { 'claimed', redis.call('HGETALL', instance) }

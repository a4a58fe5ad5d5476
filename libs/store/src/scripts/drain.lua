-- Any live state → draining, under a new generation. Only this script ends an instance. So a
-- renewal and a kill at the same time never both succeed.
-- KEYS: 1 instance  2 route  3 generation counter  4 pending  5 events  6 expiring
-- ARGV: 1 id  2 due, surplus, early_exit, or an end reason  3 message (empty: none)
--       4 message if the queue timeout passed  5 message if the start deadline passed
--       6 hint JSON (empty: none)  7 JSON of a withdrawal (empty: none), see `releaseWithdrawn`
-- Returns {draining, fields} | {leased, remaining ms} | {paused, remaining ms} | {absent}.
local record = recordOf(KEYS[1])
local state, base = record.state, baseOf(KEYS[1])

-- Releases what the creation or claim of an instance has used, once: a use of each of its `grants`, its
-- key for `idempotency`, its place in the quota, and its stable name. Another script or process may have ended the
-- instance meanwhile; then its generation is the one that was superseded. Returns false if the instance
-- is not of this `attempt` to create it, or of this `generation` and `createdAt` (a store that lost writes
-- may assign a generation twice). A withdrawal without them is of the instance of a claim. Where the
-- attempt has not run, it creates nothing any more: its command may still arrive on the earlier
-- connection.
local function releaseWithdrawn(withdrawal)
  local generation, attempt = withdrawal.generation, withdrawal.attempt
  if attempt and not state then
    redis.call('HSET', KEYS[1], 'withdrawn', 'true')
    redis.call('PEXPIRE', KEYS[1], ATTEMPT_TTL_MS)
  end
  if not state or (attempt and record.attempt ~= attempt) then return false end
  if generation and (tonumber(record.createdAt) ~= withdrawal.createdAt
    or (tonumber(record.generation) ~= generation and tonumber(record.supersedes) ~= generation)) then
    return false
  end
  if record.withdrawn then return true end
  setFields(KEYS[1], 'withdrawn', 'true')
  releaseUses(base, withdrawal.grants)
  forgetAnswer(base, withdrawal.idempotency, ARGV[1])
  releaseQuota(base, KEYS[1], ARGV[1])
  withdrawName(base, record)
  return true
end

if ARGV[7] ~= '' and not releaseWithdrawn(cjson.decode(ARGV[7])) then return { 'absent' } end
if not state or state == 'gone' or state == 'failed' then return { 'absent' } end
if state == 'draining' then return { 'draining', replyOf(KEYS[1]) } end
-- A surplus instance of a pool is not ended if it was claimed meanwhile.
if ARGV[2] == 'surplus' and state ~= 'warm' then return { 'absent' } end
local now = nowMs()
local reason, message = ARGV[2], ARGV[3]
local remaining = tonumber(record.expiresAt) - now
if reason == 'surplus' then reason = 'request' end
-- Another run of the same spawn job may have succeeded. Then the instance serves.
local serves = isServing(state)
if reason == 'start_failed' and serves then return { 'leased', remaining } end
if reason == 'early_exit' then reason = 'start_failed' end
if reason == 'due' then
  local untilIdle = math.huge
  if record.activeAt and record.idleTimeout and state ~= 'paused' then
    untilIdle = tonumber(record.activeAt) + tonumber(record.idleTimeout) + IDLE_SLACK_MS - now
  end
  if remaining > 0 and not serves then
    -- It may become ready at any moment, and its TTL may then end before its start deadline.
    local timeout = tonumber(record.timeout)
    local shortest = math.min(timeout, tonumber(record.idleTimeout or timeout))
    return { 'leased', math.min(remaining, shortest) }
  end
  if remaining > 0 and untilIdle > 0 then
    return { 'leased', math.min(remaining, untilIdle) }
  end
  local ceiling = tonumber(record.maxExpiresAt)
  if remaining <= 0 and now < ceiling and not record.replacedBy and (state == 'ready' or state == 'paused')
    and templateOf(KEYS[1]).onTimeout == 'pause' then
    setFields(KEYS[1], 'state', 'paused', 'expiresAt', ceiling, 'lastTransitionAt', now)
    writePausedRoute(KEYS[2], KEYS[1])
    scheduleExpiryNotice(KEYS[6], KEYS[1], ARGV[1])
    if state == 'ready' then emit(KEYS[5], KEYS[1], 'paused') else listOnHost(baseOf(KEYS[1]), KEYS[1]) end
    return { 'paused', ceiling - now }
  end
  if remaining > 0 then
    reason = 'idle'
  elseif serves then
    reason = record.replacedBy == '' and 'request' or record.replacedBy and 'replaced' or 'ttl'
  else
    reason = 'start_failed'
    message = record.queued and ARGV[4] or ARGV[5]
  end
end
local generation = nextGeneration(KEYS[3])
removePending(base, KEYS[4], KEYS[1], ARGV[1])
-- No host reconciles an instance without a host: `pending` lists it until it is finalized.
if not record.host then redis.call('ZADD', KEYS[4], now, ARGV[1]) end
local pool = record.pool
if pool then
  removeFromPool(base, pool, ARGV[1])
  if reason == 'start_failed' then backOffPool(base, pool) end
end
redis.call('ZREM', KEYS[6], ARGV[1])
setFields(KEYS[1], 'supersedes', record.generation, 'state', 'draining', 'generation', generation, 'reason', reason,
  'lastTransitionAt', now)
local route = { state = 'draining', generation = generation, reason = reason }
if message ~= '' then
  setFields(KEYS[1], 'message', message)
  route.message = message
end
if ARGV[6] ~= '' then setFields(KEYS[1], 'hint', ARGV[6]) end
if not pool then writeRoute(KEYS[2], KEYS[1], route) end
endName(base, record, reason)
emit(KEYS[5], KEYS[1], 'draining')
return { 'draining', replyOf(KEYS[1]) }

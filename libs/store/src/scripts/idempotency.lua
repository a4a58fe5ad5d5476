-- Included before every script. Answers that are stored under an idempotency key.

-- Returns the answer that was stored for the same request, or nil.
local function storedAnswer(base, context)
  local kept = context.idempotency
  if not kept then return nil end
  local has = redis.call('HMGET', base .. 'idempotency:' .. kept.key, 'digest', 'id', 'salt')
  if not has[2] then return nil end
  if has[1] ~= kept.digest then return { 'reused' } end
  return { 'repeated', has[2], redis.call('HGETALL', base .. 'instance:' .. has[2]), has[3] }
end

local function storeAnswer(base, context, id)
  local kept = context.idempotency
  if not kept then return end
  local key = base .. 'idempotency:' .. kept.key
  redis.call('HSET', key, 'digest', kept.digest, 'id', id)
  if kept.salt then redis.call('HSET', key, 'salt', kept.salt) else redis.call('HDEL', key, 'salt') end
  redis.call('PEXPIRE', key, IDEMPOTENCY_TTL_MS)
end

-- Deletes the answer if it is this instance, so that a repetition gets another one.
local function forgetAnswer(base, kept, id)
  if not kept then return end
  local key = base .. 'idempotency:' .. kept.key
  if redis.call('HGET', key, 'id') == id then redis.call('DEL', key) end
end

-- Included before every script. One call that creates or claims an instance is an attempt. ioredis
-- repeats a command whose connection broke before the reply, and the repetition gets the same reply.
-- `attempt:<uuid>` is the id of the instance; empty if the caller has withdrawn the attempt, because its
-- command may still arrive on the earlier connection.

local function attemptKey(base, context) return base .. 'attempt:' .. context.attempt end

-- Returns the id that an earlier run of this attempt has stored, '' if it was withdrawn, else false.
local function storedAttempt(base, context) return redis.call('GET', attemptKey(base, context)) end

local function storeAttempt(base, context, id)
  redis.call('SET', attemptKey(base, context), id, 'PX', ATTEMPT_TTL_MS)
end

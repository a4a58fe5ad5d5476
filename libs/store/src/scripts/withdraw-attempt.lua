-- Returns the instance that an attempt has got. If it has got none, no later run of it gets one.
-- KEYS: 1 attempt
-- Returns id | nil.
local id = redis.call('GET', KEYS[1])
if id and id ~= '' then return id end
redis.call('SET', KEYS[1], '', 'PX', ATTEMPT_TTL_MS)
return nil

-- Returns the instance that a claim has got. If it has got none, no later run of it gets one: the command
-- of a claim whose reply was lost may still arrive on the earlier connection.
-- KEYS: 1 claim
-- Returns id | nil.
local id = redis.call('GET', KEYS[1])
if id and id ~= '' then return id end
redis.call('SET', KEYS[1], '', 'PX', ATTEMPT_TTL_MS)
return nil

-- Notes that instances were used; it moves no deadline and wakes no proxy.
-- KEYS: instances
-- Returns how many were noted.
local now = nowMs()
local noted = 0
for _, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'state') == 'ready' then
    redis.call('HSET', key, 'activeAt', now)
    noted = noted + 1
  end
end
return noted

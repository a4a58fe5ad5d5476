-- Records that instances were used. It changes no route, so no proxy is notified.
-- KEYS: instances
-- Returns how many of them are ready.
local now = nowMs()
local noted = 0
for _, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'state') == 'ready' then
    redis.call('HSET', key, 'activeAt', now)
    noted = noted + 1
  end
end
return noted

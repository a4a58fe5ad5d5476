-- Emits the `expiring` events that are due, each once for each deadline, the earliest first.
-- KEYS: 1 expiring (by the time of the event)  2 events
-- ARGV: 1 maximum
-- Returns how many were due, and how many were emitted: an instance that no longer serves has none.
local base = baseOf(KEYS[1])
local due = redis.call('ZRANGE', KEYS[1], '-inf', nowMs(), 'BYSCORE', 'LIMIT', 0, ARGV[1])
local emitted = 0
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[1], id)
  local instance = base .. 'instance:' .. id
  local state = recordOf(instance).state
  if state == 'ready' or state == 'paused' then
    emit(KEYS[2], instance, 'expiring')
    emitted = emitted + 1
  end
end
return { #due, emitted }

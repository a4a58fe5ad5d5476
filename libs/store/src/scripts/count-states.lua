-- Counts instances by state.
-- KEYS: instances, any number
-- Returns {state, count, …}; an instance that no longer exists is not counted.
local counts, flat = {}, {}
for _, key in ipairs(KEYS) do
  local state = redis.call('HGET', key, 'state')
  if state then counts[state] = (counts[state] or 0) + 1 end
end
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return flat

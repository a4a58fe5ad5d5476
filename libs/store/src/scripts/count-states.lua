-- Counts the instances of hosts by state.
-- KEYS: instances of a host, any number
-- Returns {state, count, …}.
local counts, flat = {}, {}
for _, key in ipairs(KEYS) do
  for _, version in ipairs(redis.call('HVALS', key)) do
    local state = string.match(version, '^%d+:(%a+):')
    counts[state] = (counts[state] or 0) + 1
  end
end
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return flat

-- Sets the capacity of a host. An unchanged capacity is not written again.
-- KEYS: 1 capacity of the host
-- ARGV: 1 host  2.. maximum of instances, memory (bytes), cpus (thousandths); empty: no limit
local has = redis.call('HMGET', KEYS[1], unpack(RESOURCES))
local isChanged = false
for i in ipairs(RESOURCES) do
  if (has[i] or '') ~= ARGV[i + 1] then isChanged = true end
end
if not isChanged then return end
for i, resource in ipairs(RESOURCES) do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], resource)
  else
    redis.call('HSET', KEYS[1], resource, ARGV[i + 1])
  end
end
indexHost(baseOf(KEYS[1]), ARGV[1])

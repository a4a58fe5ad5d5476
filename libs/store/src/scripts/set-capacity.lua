-- Sets the capacity of a host, and writes its entries in the index by free capacity.
-- KEYS: 1 capacity of the host
-- ARGV: 1 host  2.. maximum of instances, memory (bytes), cpus (thousandths); empty: no limit
for i, resource in ipairs(RESOURCES) do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], resource)
  else
    redis.call('HSET', KEYS[1], resource, ARGV[i + 1])
  end
end
indexHost(baseOf(KEYS[1]), ARGV[1])

-- Records a heartbeat of a host, and writes its entries in the index by free capacity.
-- KEYS: 1 hosts
-- ARGV: 1 host  2 time, epoch ms
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
indexHost(baseOf(KEYS[1]), ARGV[1])

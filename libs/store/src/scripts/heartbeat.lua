-- Records a heartbeat of a host.
-- KEYS: 1 hosts
-- ARGV: 1 host  2 time, epoch ms
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
indexIfMissing(baseOf(KEYS[1]), ARGV[1])

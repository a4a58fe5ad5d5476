-- Forgets a name. Its instances are the caller's to end.
-- KEYS: 1 name
-- ARGV: 1 JSON: name; match (the generation that it must have); owner (absent: any owner)
-- Returns {removed, id, id of the instance that is starting for it | ''} | {absent} | {foreign} |
--         {unmatched, generation}.
local base, wanted = baseOf(KEYS[1]), cjson.decode(ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'id', 'next', 'owner')
if not known[1] then return { 'absent' } end
local refused = refusedName(base, wanted)
if refused then return refused end
redis.call('DEL', KEYS[1], base .. 'route:@' .. wanted.name)
redis.call('ZREM', base .. 'names', wanted.name)
redis.call('ZREM', base .. 'owner-names:' .. known[3], wanted.name)
return { 'removed', known[1], known[2] or '' }

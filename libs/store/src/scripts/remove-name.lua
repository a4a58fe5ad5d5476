-- Forgets a name. The leases of its instances end now: that of one that serves in this step, and that of
-- one that is starting when it becomes ready. The caller only hastens their end.
-- KEYS: 1 name
-- ARGV: 1 JSON: name; match (the generation that it must have); owner (absent: any owner)
-- Returns {removed, id, id of the instance that is starting for it | ''} | {absent} | {foreign} |
--         {unmatched, generation}.
local base, wanted = baseOf(KEYS[1]), cjson.decode(ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'id', 'next', 'owner')
if not known[1] then return { 'absent' } end
local refused = refusedName(base, wanted)
if refused then return refused end
deleteName(base, wanted.name, known[3])
local state = recordOf(base .. 'instance:' .. known[1]).state
if state == 'ready' or state == 'paused' then cutLease(base, known[1], nowMs(), '') end
return { 'removed', known[1], known[2] or '' }

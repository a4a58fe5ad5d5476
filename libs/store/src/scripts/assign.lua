-- pending → starting on a host. Idempotent for the same host, which may have taken the job over from
-- a dead worker.
-- KEYS: 1 instance  2 route  3 pending  4 events
-- ARGV: 1 id  2 generation  3 host
-- Returns the fields of the instance | nil: killed, superseded, queued or serving already |
--         'other_host': another host has started it | 'full': this host has no capacity for it.
local record = recordOf(KEYS[1])
if record.generation ~= ARGV[2] then return nil end
if record.state == 'starting' then
  if record.host ~= ARGV[3] then return 'other_host' end
  return replyOf(KEYS[1])
end
if record.state ~= 'pending' or record.queued then return nil end
local base = baseOf(KEYS[1])
local mayStart, load = hostHasCapacity(base, KEYS[1], ARGV[3])
if not mayStart then
  handOverReservation(base, KEYS[1], ARGV[3])
  return 'full'
end
moveReservation(base, KEYS[1], ARGV[3], load)
setFields(KEYS[1], 'state', 'starting', 'host', ARGV[3], 'reservedHost', ARGV[3],
  'lastTransitionAt', nowMs())
if not record.pool then
  writeRoute(KEYS[2], KEYS[1], { state = 'starting', generation = tonumber(ARGV[2]) })
end
removePending(base, KEYS[3], KEYS[1], ARGV[1])
emit(KEYS[4], KEYS[1], 'starting')
return replyOf(KEYS[1])

-- Records the progress of a start, and may extend the start deadline. The change of the route wakes
-- waiting requests; a pool instance has no route and gets none. A serving instance is unchanged.
-- KEYS: 1 instance  2 route
-- ARGV: 1 generation  2 step  3 done, 0 to 1 (empty: unknown)  4 message
--       5 timeout ms: the deadline is at least this far from now, up to the ceiling (0: unchanged)
-- Returns the start deadline | nil: the generation was superseded.
local record = recordOf(KEYS[1])
if record.generation ~= ARGV[1] then return nil end
local deadline = tonumber(record.expiresAt)
if record.state ~= 'starting' then return deadline end
if ARGV[5] ~= '0' then
  deadline = math.max(deadline, math.min(nowMs() + tonumber(ARGV[5]), tonumber(record.maxExpiresAt)))
end
local isExtended = deadline ~= tonumber(record.expiresAt)
setFields(KEYS[1], 'progress', ARGV[4], 'expiresAt', deadline)
if isExtended then listOnHost(baseOf(KEYS[1]), KEYS[1]) end
writeRoute(KEYS[2], KEYS[1], {
  state = 'starting', generation = tonumber(ARGV[1]), step = ARGV[2], done = tonumber(ARGV[3]) }, 'XX')
return deadline

-- paused → ready. The route appears again. Where the template pauses at the deadline, the TTL counts
-- from now, up to the ceiling; otherwise, and once another instance has its name, the lease has run on.
-- Idempotent.
-- KEYS: 1 instance  2 route  3 events  4 expiring
-- ARGV: 1 id
-- Returns {resumed, sooner (1 or 0), fields} | {refused} | {absent}.
local record = recordOf(KEYS[1])
local state = record.state
if not state then return { 'absent' } end
if state == 'ready' then return { 'resumed', 0, replyOf(KEYS[1]) } end
if state ~= 'paused' then return { 'refused' } end
local now = nowMs()
local held = tonumber(record.expiresAt)
if held <= now then return { 'refused' } end
local deadline = held
if templateOf(KEYS[1]).onTimeout == 'pause' and not record.replacedBy then
  deadline = math.min(now + tonumber(record.timeout), tonumber(record.maxExpiresAt))
end
setFields(KEYS[1], 'state', 'ready', 'at:resumed', now, 'expiresAt', deadline, 'activeAt', now,
  'lastTransitionAt', now)
writeReadyRoute(KEYS[2], KEYS[1])
if deadline ~= held then scheduleExpiryNotice(KEYS[4], KEYS[1], ARGV[1]) end
emit(KEYS[3], KEYS[1], 'resumed')
return { 'resumed', deadline < held and 1 or 0, replyOf(KEYS[1]) }

-- Moves the deadline of a ready or paused instance: later, or sooner only with `shorten`. Never
-- past the ceiling, never once draining has started, and never later once another instance has its name. Without `shorten`, a sooner deadline is
-- refused; less than RENEWAL_TOLERANCE_MS sooner moves nothing. A renewal that moves nothing emits no
-- event. A refused one still counts as use: its client expects the instance to live.
-- KEYS: 1 instance  2 route  3 events  4 expiring
-- ARGV: 1 timeout ms from now (empty: none)  2 expiresAt (empty: none)  3 shorten (1 or 0)  4 id
-- Returns {renewed, previous deadline, fields} | {earlier, fields} | {starting} | {ended, fields} |
--         {absent}.
local record = recordOf(KEYS[1])
local state = record.state
if not state then return { 'absent' } end
if state == 'pending' or state == 'starting' or state == 'warm' then return { 'starting' } end
local now = nowMs()
local held = tonumber(record.expiresAt)
if (state ~= 'ready' and state ~= 'paused') or held <= now then
  return { 'ended', replyOf(KEYS[1]) }
end
local wanted = ARGV[1] ~= '' and now + tonumber(ARGV[1]) or tonumber(ARGV[2])
local deadline = math.min(wanted, record.replacedBy and held or tonumber(record.maxExpiresAt))
if ARGV[3] ~= '1' then
  if deadline < held - RENEWAL_TOLERANCE_MS then
    setFields(KEYS[1], 'activeAt', now)
    return { 'earlier', replyOf(KEYS[1]) }
  end
  deadline = math.max(deadline, held)
end
setFields(KEYS[1], 'expiresAt', deadline, 'activeAt', now, 'at:renewed', now)
if deadline ~= held then
  local route = cjson.decode(redis.call('GET', KEYS[2]))
  route.expiresAt = deadline
  redis.call('SET', KEYS[2], cjson.encode(route))
  scheduleExpiryNotice(KEYS[4], KEYS[1], ARGV[4])
  emit(KEYS[3], KEYS[1], 'renewed')
end
return { 'renewed', held, replyOf(KEYS[1]) }

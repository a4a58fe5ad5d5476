-- Emits the event of a command that is about to run, or of a change of files, if the instance is ready
-- under this generation. Both count as use.
-- KEYS: 1 instance  2 events
-- ARGV: 1 generation  2 type of the event
-- Returns 1, or 0 if nothing may be done.
local record = recordOf(KEYS[1])
if record.state ~= 'ready' or record.generation ~= ARGV[1] then return 0 end
local now = nowMs()
if tonumber(record.expiresAt) <= now then return 0 end
setFields(KEYS[1], 'activeAt', now)
emit(KEYS[2], KEYS[1], ARGV[2])
return 1

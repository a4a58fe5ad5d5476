-- Emits the event `exec` of a command that is about to run, if the instance is ready under this
-- generation. Running a command counts as use.
-- KEYS: 1 instance  2 events
-- ARGV: 1 generation
-- Returns 1, or 0 if the command must not run.
local record = recordOf(KEYS[1])
if record.state ~= 'ready' or record.generation ~= ARGV[1] then return 0 end
local now = nowMs()
if tonumber(record.expiresAt) <= now then return 0 end
setFields(KEYS[1], 'activeAt', now)
emit(KEYS[2], KEYS[1], 'exec')
return 1

-- Deletes the consumers of a group whose process has died; each process has a random consumer name.
-- One step, because XGROUP DELCONSUMER drops what a consumer took after it was inspected.
-- KEYS: 1 events
-- ARGV: 1 group  2 the calling consumer, which stays  3 minimum idle time, ms
-- Returns how many were deleted.
local forgotten = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local reader = {}
  for i = 1, #flat, 2 do reader[flat[i]] = flat[i + 1] end
  if reader.pending == 0 and reader.idle >= tonumber(ARGV[3]) and reader.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], reader.name)
    forgotten = forgotten + 1
  end
end
return forgotten

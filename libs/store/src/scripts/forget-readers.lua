-- Readers of a group that have died: each process is a reader of its own, with a name by chance.
-- In one step, or what a reader took between the look and its end would be nobody's.
-- KEYS: 1 events
-- ARGV: 1 group  2 the reader that asks  3 how long they have been idle, ms
-- Returns how many were forgotten.
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

-- Changes the cordon of a host. A cordoned host leaves the index by free capacity.
-- KEYS: 1 cordons  2 hosts
-- ARGV: 1 host  2 cordon: ends a drain | drain: starts one, or replaces its deadline |
--         empty, occupied: a worker of the host reports whether a container is left |
--         uncordon: removes the cordon
--       3 deadline of the drain, epoch ms (empty: that of a drain that runs, else none)
-- Returns 1, or 0: no such host was ever registered, or nothing is to be reported because the host is
--         not being drained.
local host, change = ARGV[1], ARGV[2]
local base = baseOf(KEYS[1])
if change == 'uncordon' then
  if redis.call('HDEL', KEYS[1], host) == 1 then indexHost(base, host) end
  return 1
end
local text = redis.call('HGET', KEYS[1], host)
local cordon = text and cjson.decode(text)
if change == 'empty' or change == 'occupied' then
  if not (cordon and cordon.drain) then return 0 end
  cordon.drain.isEmpty = change == 'empty'
else
  if not redis.call('ZSCORE', KEYS[2], host) then return 0 end
  local deadline = tonumber(ARGV[3]) or (cordon and cordon.drain and cordon.drain.deadline)
  cordon = { since = cordon and cordon.since or nowMs() }
  if change == 'drain' then cordon.drain = { isEmpty = false, deadline = deadline or nil } end
  removeFromIndex(base, host)
end
local changed = cjson.encode(cordon)
if changed ~= text then redis.call('HSET', KEYS[1], host, changed) end
return 1

-- Included before every script, after the constants of limits.ts: keys, Redis' clock and generations.

-- Returns `{namespace}:`, the prefix of every key.
local function baseOf(key) return string.match(key, '^%b{}:') end

-- Returns whether an instance in this state has a container that serves.
local function isServing(state) return state == 'ready' or state == 'warm' or state == 'paused' end

-- Returns seconds and microseconds. Redis' clock does not advance while a script runs.
local time
local function readClock()
  time = time or redis.call('TIME')
  return time[1], time[2]
end

-- Returns epoch milliseconds.
local function nowMs()
  local seconds, micros = readClock()
  return seconds * 1000 + math.floor(micros / 1000)
end

-- Returns the next generation: above the last one, and at least the clock in tenths of a millisecond.
-- So a Redis that lost its last writes, by a failover or a restart, never repeats a generation.
local function nextGeneration(counter)
  local seconds, micros = readClock()
  local least = seconds * 10000 + math.floor(micros / 100)
  local generation = math.max(tonumber(redis.call('GET', counter) or '0') + 1, least)
  redis.call('SET', counter, string.format('%.0f', generation))
  return generation
end

-- Returns the run id of this Redis process. It differs after a restart and on a replica, whose data
-- may be older than what clients have seen.
local function runId()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

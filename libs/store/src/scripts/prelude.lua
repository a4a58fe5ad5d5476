-- Included before every script, after the constants of limits.ts: keys, Redis' clock, generations, and
-- the event stream. A script appends the event in the same step as the change, so every change is
-- reported exactly once.

-- Returns `{namespace}:`, the prefix of every key.
local function baseOf(key) return string.match(key, '^%b{}:') end

-- Returns whether an instance in this state has a container that serves.
local function isServing(state) return state == 'ready' or state == 'warm' or state == 'paused' end

-- Returns epoch milliseconds. Redis' clock does not advance while a script runs.
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Returns the next generation: above the last one, and at least the clock in tenths of a millisecond.
-- So a Redis that lost its last writes, by a failover or a restart, never repeats a generation.
local function nextGeneration(counter)
  local time = redis.call('TIME')
  local least = time[1] * 10000 + math.floor(time[2] / 100)
  local generation = math.max(tonumber(redis.call('GET', counter) or '0') + 1, least)
  redis.call('SET', counter, string.format('%.0f', generation))
  return generation
end

-- Returns the run id of this Redis process. It differs after a restart and on a replica, whose data
-- may be older than what clients have seen.
local function runId()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- Appends an event with the present state of an instance. All events have the same fields, so that
-- Redis stores the field names once. The time is part of the entry's id. A long message or long
-- metadata is left out (EVENT_REFERENCE): readers take it from the instance, which keeps it as long as
-- its tombstone. So an entry has at most 512 bytes, whatever a client sends.
local function emit(events, instance, type)
  local has = redis.call('HMGET', instance, 'id', 'state', 'reason', 'message', 'generation',
    'expiresAt', 'metadata', 'template')
  local message, metadata = has[4] or '', has[7] or '{}'
  if #message > MAX_EVENT_TEXT_BYTES then message = EVENT_REFERENCE end
  if #metadata > MAX_EVENT_TEXT_BYTES then metadata = EVENT_REFERENCE end
  redis.call('XADD', events, 'MAXLEN', '~', MAX_EVENTS, '*', 'type', type, 'id', has[1],
    'state', has[2], 'reason', has[3] or '', 'message', message, 'generation', has[5],
    'expiresAt', has[6], 'metadata', metadata, 'template', cjson.decode(has[8]).name)
end

-- Schedules the `expiring` event: the template's `notice` before the deadline, else a tenth of the
-- time to live, at most EXPIRY_NOTICE_MAX_MS.
local function scheduleExpiryNotice(expiring, instance, id)
  local has = redis.call('HMGET', instance, 'expiresAt', 'timeout', 'template')
  local noticeMs = cjson.decode(has[3]).notice or math.min(EXPIRY_NOTICE_MAX_MS, tonumber(has[2]) / 10)
  redis.call('ZADD', expiring, math.floor(tonumber(has[1]) - noticeMs), id)
end

-- Stands in front of every script: Redis' clock, and the stream that tells of every change in the
-- very step that makes it, so that no change goes untold and none is told twice.

-- How many events are kept, more or less.
local MAX_EVENTS = 50000

-- Epoch milliseconds; the same throughout one script.
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The next generation: above every one before it, and above the clock, in tenths of a millisecond.
-- So a Redis that has lost its last writes, by a failover or a restart, gives none of theirs again.
local function nextGeneration(counter)
  local time = redis.call('TIME')
  local least = time[1] * 10000 + math.floor(time[2] / 100)
  local generation = math.max(tonumber(redis.call('GET', counter) or '0') + 1, least)
  redis.call('SET', counter, string.format('%.0f', generation))
  return generation
end

-- Tells this Redis process from the one before it and from its replicas: what a promoted replica or
-- a restarted Redis says may be older than what was known before.
local function runId()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

-- Appends an event about an instance as its hash stands now. Every event has the same fields, so
-- that Redis writes their names once; the moment is in the event's own id.
local function emit(events, instance, type)
  local has = redis.call('HMGET', instance, 'id', 'state', 'reason', 'message', 'generation',
    'expiresAt', 'metadata', 'template')
  redis.call('XADD', events, 'MAXLEN', '~', MAX_EVENTS, '*', 'type', type, 'id', has[1],
    'state', has[2], 'reason', has[3] or '', 'message', has[4] or '', 'generation', has[5],
    'expiresAt', has[6], 'metadata', has[7] or '{}', 'template', cjson.decode(has[8]).name)
end

-- Notes when to tell that the deadline of an instance nears: its template's notice ahead of it,
-- or a tenth of the time to live, a minute at most.
local function scheduleExpiryNotice(expiring, instance, id)
  local has = redis.call('HMGET', instance, 'expiresAt', 'timeout', 'template')
  local noticeMs = cjson.decode(has[3]).notice or math.min(60000, tonumber(has[2]) / 10)
  redis.call('ZADD', expiring, math.floor(tonumber(has[1]) - noticeMs), id)
end

-- Included before every script. The hash of an instance, and its events. A script reads the hash once,
-- however many fields it needs, so it writes it by `setFields` and `removeFields` only. It appends an
-- event in the same step as the change, so every change is reported exactly once.

local records = {}

-- Returns the fields of an instance by name, as strings; empty where it does not exist.
local function recordOf(instance)
  local record = records[instance]
  if record then return record end
  record = {}
  local flat = redis.call('HGETALL', instance)
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  records[instance] = record
  return record
end

-- Writes fields: names and values alternating. A change of the state also writes its time to
-- `at:<state>`; `at:ready` keeps the first time.
local function setFields(instance, ...)
  local pairsOf, record = { ... }, recordOf(instance)
  local state, at
  for i = 1, #pairsOf, 2 do
    if pairsOf[i] == 'state' then state = pairsOf[i + 1] end
    if pairsOf[i] == 'lastTransitionAt' then at = pairsOf[i + 1] end
  end
  if state and at and not (state == 'ready' and record['at:ready']) then
    pairsOf[#pairsOf + 1] = 'at:' .. state
    pairsOf[#pairsOf + 1] = at
  end
  redis.call('HSET', instance, unpack(pairsOf))
  for i = 1, #pairsOf, 2 do
    local value = pairsOf[i + 1]
    record[pairsOf[i]] = type(value) == 'number' and string.format('%.17g', value) or value
  end
end

local function removeFields(instance, ...)
  redis.call('HDEL', instance, ...)
  for _, name in ipairs({ ... }) do recordOf(instance)[name] = nil end
end

local function removeRecord(instance)
  redis.call('DEL', instance)
  records[instance] = {}
end

-- Returns the fields as a reply: names and values alternating.
local function replyOf(instance)
  local flat = {}
  for name, value in pairs(recordOf(instance)) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  return flat
end

local templates = {}

-- Returns the template of an instance.
local function templateOf(instance)
  local text = recordOf(instance).template
  templates[text] = templates[text] or cjson.decode(text)
  return templates[text]
end

-- Writes a live instance with its version to the list of its host. A reader that knows this version need
-- not read the instance. Every change of these fields must be followed by it; `emit` calls it.
local function listOnHost(base, instance)
  local record = recordOf(instance)
  if not record.host then return end
  local key = base .. 'host:' .. record.host .. ':instances'
  if record.state == 'gone' or record.state == 'failed' then
    redis.call('HDEL', key, record.id)
  else
    redis.call('HSET', key, record.id, table.concat(
      { record.generation, record.state, record.expiresAt, record.lastTransitionAt }, ':'))
  end
end

-- Appends an event with the present state of an instance, and updates the list of its host. All events have the same fields, so that Redis stores the
-- field names once. The time is part of the entry's id. A long message or long
-- metadata is left out (EVENT_REFERENCE): readers take it from the instance, which keeps it as long as
-- its tombstone. So an entry has at most 512 bytes, whatever a client sends.
local function emit(events, instance, type)
  listOnHost(baseOf(events), instance)
  local record = recordOf(instance)
  local message, metadata = record.message or '', record.metadata or '{}'
  if #message > MAX_EVENT_TEXT_BYTES then message = EVENT_REFERENCE end
  if #metadata > MAX_EVENT_TEXT_BYTES then metadata = EVENT_REFERENCE end
  redis.call('XADD', events, 'MAXLEN', '~', MAX_EVENTS, '*', 'type', type, 'id', record.id,
    'state', record.state, 'reason', record.reason or '', 'message', message,
    'generation', record.generation, 'expiresAt', record.expiresAt, 'metadata', metadata,
    'template', templateOf(instance).name)
end

-- Schedules the `expiring` event: the template's `notice` before the deadline, else a tenth of the
-- time to live, at most EXPIRY_NOTICE_MAX_MS.
local function scheduleExpiryNotice(expiring, instance, id)
  local record = recordOf(instance)
  local noticeMs = templateOf(instance).notice
    or math.min(EXPIRY_NOTICE_MAX_MS, tonumber(record.timeout) / 10)
  redis.call('ZADD', expiring, math.floor(tonumber(record.expiresAt) - noticeMs), id)
end

-- Stands behind the prelude in every script: how a route is written. Each carries what its instance
-- asks of who wants to enter, whatever it is at: a proxy decides by the route alone.

-- Writes a route; what follows its fields goes to SET.
local function writeRoute(route, instance, fields, ...)
  fields.access = redis.call('HGET', instance, 'accessHash') or nil
  redis.call('SET', route, cjson.encode(fields), ...)
end

-- The route of a ready instance, as its hash says.
local function writeReadyRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'address', 'expiresAt',
    'idleTimeout')
  local template = cjson.decode(has[1])
  writeRoute(route, instance, {
    state = 'ready', generation = tonumber(has[2]), address = has[3],
    port = template.port, ports = template.ports, expiresAt = tonumber(has[4]),
    stripPrefix = template.stripPrefix, host = template.host,
    activity = has[5] and template.activity or nil })
end

-- The route of a paused instance, as its hash says.
local function writePausedRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'expiresAt')
  writeRoute(route, instance, {
    state = 'paused', generation = tonumber(has[2]), expiresAt = tonumber(has[3]),
    resume = cjson.decode(has[1]).resume or 'manual' })
end

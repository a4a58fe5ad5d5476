-- Stands behind the prelude in every script: the route of a ready instance, as its hash says.
local function openRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'address', 'expiresAt',
    'idleTimeout')
  local template = cjson.decode(has[1])
  redis.call('SET', route, cjson.encode({
    state = 'ready', generation = tonumber(has[2]), address = has[3],
    port = template.port, ports = template.ports, expiresAt = tonumber(has[4]),
    stripPrefix = template.stripPrefix, host = template.host,
    activity = has[5] and template.activity or nil }))
end

-- The route of a paused instance, as its hash says.
local function pauseRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'expiresAt')
  redis.call('SET', route, cjson.encode({
    state = 'paused', generation = tonumber(has[2]), expiresAt = tonumber(has[3]),
    resume = cjson.decode(has[1]).resume or 'manual' }))
end

-- Included before every script. Only these functions write routes. A route in any state carries the
-- access hash of its instance and who may frame it, because a proxy decides by the route alone.

-- Writes a route with these fields; further arguments go to SET.
local function writeRoute(route, instance, fields, ...)
  local has = redis.call('HMGET', instance, 'accessHash', 'template')
  fields.access = has[1] or nil
  -- Most templates have no such field, so that theirs need not be decoded.
  if has[2] and string.find(has[2], '"embed":', 1, true) then
    fields.embed = cjson.decode(has[2]).embed
  end
  redis.call('SET', route, cjson.encode(fields), ...)
end

-- Writes the route of a ready instance from its hash.
local function writeReadyRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'address', 'expiresAt',
    'idleTimeout', 'host')
  local template = cjson.decode(has[1])
  writeRoute(route, instance, {
    state = 'ready', generation = tonumber(has[2]), host = has[6] or nil, address = has[3],
    template = template.name,
    port = template.port, ports = template.ports, expiresAt = tonumber(has[4]),
    stripPrefix = template.stripPrefix, hostHeader = template.host,
    forwardIdentity = template.forwardIdentity == true or nil,
    activity = has[5] and template.activity or nil })
end

-- Writes the route of a paused instance from its hash.
local function writePausedRoute(route, instance)
  local has = redis.call('HMGET', instance, 'template', 'generation', 'expiresAt')
  writeRoute(route, instance, {
    state = 'paused', generation = tonumber(has[2]), expiresAt = tonumber(has[3]),
    resume = cjson.decode(has[1]).resume or 'manual' })
end

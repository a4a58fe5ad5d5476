-- Included before every script. Only these functions write routes. A route in any state carries the
-- access hash of its instance and who may frame it, because a proxy decides by the route alone.

-- Writes a route with these fields; further arguments go to SET.
local function writeRoute(route, instance, fields, ...)
  local record = recordOf(instance)
  fields.access = record.accessHash
  -- Most templates have no such field, so that theirs need not be decoded.
  if record.template and string.find(record.template, '"embed":', 1, true) then
    fields.embed = templateOf(instance).embed
  end
  redis.call('SET', route, cjson.encode(fields), ...)
end

-- Writes the route of a ready instance from its hash.
local function writeReadyRoute(route, instance)
  local record, template = recordOf(instance), templateOf(instance)
  writeRoute(route, instance, {
    state = 'ready', generation = tonumber(record.generation), host = record.host,
    address = record.address, published = record.published and cjson.decode(record.published),
    template = template.name,
    port = template.port, ports = template.ports, expiresAt = tonumber(record.expiresAt),
    stripPrefix = template.stripPrefix, hostHeader = template.host,
    forwardIdentity = template.forwardIdentity == true or nil,
    expiresHeader = template.visitor and template.visitor.expiresHeader == true or nil,
    activity = record.idleTimeout and template.activity or nil })
end

-- Writes the route of a paused instance from its hash.
local function writePausedRoute(route, instance)
  local record = recordOf(instance)
  writeRoute(route, instance, {
    state = 'paused', generation = tonumber(record.generation), expiresAt = tonumber(record.expiresAt),
    resume = templateOf(instance).resume or 'manual' })
end

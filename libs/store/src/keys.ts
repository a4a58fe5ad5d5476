/** Every Redis key of Ephemera; `README.md` beside this file tells shape, life, writer and reader. */
export interface Keys {
  readonly namespace: string;
  readonly routePrefix: string;
  readonly generation: string;
  readonly instances: string;
  readonly pending: string;
  readonly hosts: string;
  readonly events: string;
  readonly expiring: string;
  /** BullMQ's prefix: the braces keep all keys of a deployment in one hash slot. */
  readonly queuePrefix: string;
  route(id: string): string;
  instance(id: string): string;
  hostInstances(host: string): string;
  addresses(host: string): string;
  reconciler(host: string): string;
}

export function keysOf(namespace: string): Keys {
  const base = `{${namespace}}`;
  return {
    namespace,
    routePrefix: `${base}:route:`,
    generation: `${base}:generation`,
    instances: `${base}:instances`,
    pending: `${base}:pending`,
    hosts: `${base}:hosts`,
    events: `${base}:events`,
    expiring: `${base}:expiring`,
    queuePrefix: base,
    route: (id) => `${base}:route:${id}`,
    instance: (id) => `${base}:instance:${id}`,
    hostInstances: (host) => `${base}:host:${host}:instances`,
    addresses: (host) => `${base}:host:${host}:addresses`,
    reconciler: (host) => `${base}:host:${host}:reconciler`,
  };
}

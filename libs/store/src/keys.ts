/**
 * The Redis keys that are named outside the scripts, which make further ones from the same base:
 * owners, idempotency keys, vouchers, pools that rest. `SCHEMA.md` beside this file tells of each
 * its shape, life, writer and reader.
 */
export interface Keys {
  readonly namespace: string;
  readonly routePrefix: string;
  readonly registrationPrefix: string;
  readonly generation: string;
  readonly instances: string;
  readonly pending: string;
  readonly hosts: string;
  readonly events: string;
  readonly expiring: string;
  /** BullMQ's prefix: the braces keep all keys of a deployment in one hash slot. */
  readonly queuePrefix: string;
  /** Templates whose queue may hold somebody. */
  readonly queues: string;
  /** What is to be kept warm, by template. */
  readonly pools: string;
  /** Every pool that may have instances, those of earlier configurations too. */
  readonly poolFingerprints: string;
  route(id: string): string;
  instance(id: string): string;
  hostInstances(host: string): string;
  addresses(host: string): string;
  hostRpc(host: string): string;
  /** A channel, no key. */
  rpcReplies(replica: string): string;
  log(id: string): string;
  /** What accounts have used of a rate; accounts follow behind a colon. */
  rate(rate: string): string;
  reconciler(host: string): string;
  hostCapacity(host: string): string;
  /** Fingerprint and networks of a host. */
  registration(host: string): string;
  hostUsed(host: string): string;
  /** Live instances of a template, those in its queue aside. */
  templateInstances(template: string): string;
  templateQueue(template: string): string;
  /** More warm ones for a while, as an entry of the template's schedule has it. */
  scheduledMinimum(template: string, entry: number): string;
  /** Unclaimed instances of a pool, those that still start too. */
  pool(fingerprint: string): string;
  /** Those of them that may be claimed, by deadline. */
  warm(fingerprint: string): string;
}

export function keysOf(namespace: string): Keys {
  const base = `{${namespace}}`;
  return {
    namespace,
    routePrefix: `${base}:route:`,
    registrationPrefix: `${base}:registration:`,
    generation: `${base}:generation`,
    instances: `${base}:instances`,
    pending: `${base}:pending`,
    hosts: `${base}:hosts`,
    events: `${base}:events`,
    expiring: `${base}:expiring`,
    queues: `${base}:queues`,
    pools: `${base}:pools`,
    poolFingerprints: `${base}:pool-fingerprints`,
    queuePrefix: base,
    route: (id) => `${base}:route:${id}`,
    instance: (id) => `${base}:instance:${id}`,
    hostInstances: (host) => `${base}:host:${host}:instances`,
    addresses: (host) => `${base}:host:${host}:addresses`,
    hostRpc: (host) => `${base}:host:${host}:rpc`,
    rpcReplies: (replica) => `${base}:rpc-replies:${replica}`,
    rate: (rate) => `${base}:rate:${rate}`,
    log: (id) => `${base}:log:${id}`,
    reconciler: (host) => `${base}:host:${host}:reconciler`,
    registration: (host) => `${base}:registration:${host}`,
    hostCapacity: (host) => `${base}:host:${host}:capacity`,
    hostUsed: (host) => `${base}:host:${host}:used`,
    templateInstances: (template) => `${base}:template:${template}:instances`,
    templateQueue: (template) => `${base}:template:${template}:queue`,
    scheduledMinimum: (template, entry) =>
      `${base}:template:${template}:scheduled-minimum:${entry}`,
    pool: (fingerprint) => `${base}:pool:${fingerprint}`,
    warm: (fingerprint) => `${base}:pool:${fingerprint}:warm`,
  };
}

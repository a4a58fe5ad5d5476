/**
 * The Redis keys that TypeScript names. Scripts build further ones from the same prefix: owners,
 * idempotency keys, grants, back-offs. `SCHEMA.md` lists all keys with shape, TTL, writer and
 * reader.
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
  /** Identifies the data of this Redis: a Redis that has lost its data has none, or another. */
  readonly dataset: string;
  /** Hosts that have compared their containers with this data since it exists. */
  readonly reported: string;
  /** The cordon of each cordoned host, as JSON. */
  readonly cordons: string;
  /** The marker that is written before each WAIT. */
  readonly confirmed: string;
  /** BullMQ's prefix: the braces keep all keys of a deployment in one hash slot. */
  readonly queuePrefix: string;
  /** Templates whose queue may not be empty. */
  readonly queues: string;
  /** The `PoolSpec` of each template. */
  readonly pools: string;
  /** Every pool that may have instances, including those of earlier configurations. */
  readonly poolFingerprints: string;
  route(id: string): string;
  instance(id: string): string;
  /** A stable name. */
  name(name: string): string;
  /** Every stable name, by the time when it is forgotten. */
  readonly names: string;
  hostInstances(host: string): string;
  addresses(host: string): string;
  hostRpc(host: string): string;
  /** Where the workers of a host accept requests of proxies. */
  hostAddresses(host: string): string;
  /** A pub/sub channel, not a key. */
  rpcReplies(replica: string): string;
  log(id: string): string;
  /** The last warning of one kind about an instance. */
  warning(kind: string, id: string): string;
  /** The instance that one call of `claimWarm` has got. */
  claim(attempt: string): string;
  /** How many instances a signed link or a proof of work has started. */
  grant(name: string): string;
  /** Prefix of the counters of a rate; the subject follows after a colon. */
  rate(rate: string): string;
  reconciler(host: string): string;
  /** Whether a worker has run a task of the whole deployment lately. */
  turn(task: string): string;
  hostCapacity(host: string): string;
  /** Fingerprint and networks of a host. */
  registration(host: string): string;
  hostUsed(host: string): string;
  /** Live instances of a template, except those in its queue. */
  templateInstances(template: string): string;
  templateQueue(template: string): string;
  /** Temporary minimum of warm instances that a schedule entry sets. */
  scheduledMinimum(template: string, entry: number): string;
  /** Unclaimed instances of a pool, including starting ones. */
  pool(fingerprint: string): string;
  /** Claimable instances of a pool, by deadline. */
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
    dataset: `${base}:dataset`,
    reported: `${base}:reported`,
    cordons: `${base}:cordons`,
    confirmed: `${base}:confirmed`,
    queues: `${base}:queues`,
    pools: `${base}:pools`,
    poolFingerprints: `${base}:pool-fingerprints`,
    queuePrefix: base,
    route: (id) => `${base}:route:${id}`,
    instance: (id) => `${base}:instance:${id}`,
    name: (name) => `${base}:name:${name}`,
    names: `${base}:names`,
    hostInstances: (host) => `${base}:host:${host}:instances`,
    addresses: (host) => `${base}:host:${host}:addresses`,
    hostRpc: (host) => `${base}:host:${host}:rpc`,
    hostAddresses: (host) => `${base}:host:${host}:worker-addresses`,
    rpcReplies: (replica) => `${base}:rpc-replies:${replica}`,
    claim: (attempt) => `${base}:claim:${attempt}`,
    grant: (name) => `${base}:used:${name}`,
    rate: (rate) => `${base}:rate:${rate}`,
    log: (id) => `${base}:log:${id}`,
    warning: (kind, id) => `${base}:warning:${kind}:${id}`,
    turn: (task) => `${base}:turn:${task}`,
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

import type { Instance, Template } from '@ephemera/domain';

/**
 * Labels say who a container is; they cannot change, so the lease is not among them. A container
 * inherits those of its image: each is set on every instance, or an image would say it in our place.
 */
export const LABEL = {
  namespace: 'ephemera.namespace',
  instance: 'ephemera.instance',
  generation: 'ephemera.generation',
  host: 'ephemera.host',
  template: 'ephemera.template',
  expiresAt: 'ephemera.expires-at',
  /** `instance`, or `firewall`: the helper that sets rules. */
  role: 'ephemera.role',
  /** The pool that it was started for; empty where there is none. */
  pool: 'ephemera.pool',
  /** What a store that lost everything needs to know the instance again. */
  recovery: 'ephemera.recovery',
} as const;

/** Everything of an instance that neither changes nor is a secret. */
interface RecoveryMetadata {
  readonly template: Template;
  readonly timeout: number;
  readonly createdAt: number;
  readonly maxExpiresAt: number;
  readonly url: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The pool that it was started for. */
  readonly pool?: string | undefined;
  /** A hash is no secret: who sees it cannot enter by it. */
  readonly accessHash?: string | undefined;
}

export function labelsOf(
  namespace: string,
  host: string,
  instance: Instance,
): Record<string, string> {
  const { template, timeout, createdAt, maxExpiresAt, url, metadata, pool, accessHash } = instance;
  // The latest that the first deadline can be: ready at the last moment, and the whole TTL.
  // One that its deadline pauses lives up to its ceiling, and so may one of a pool.
  const isLong = template.onTimeout === 'pause' || pool !== undefined;
  const latest = isLong ? maxExpiresAt : Math.min(instance.expiresAt + timeout, maxExpiresAt);
  const recall: RecoveryMetadata = {
    template,
    timeout,
    createdAt,
    maxExpiresAt,
    url,
    metadata,
    pool,
    accessHash,
  };
  return {
    ...template.labels,
    [LABEL.namespace]: namespace,
    [LABEL.instance]: instance.id,
    [LABEL.generation]: String(instance.generation),
    [LABEL.host]: host,
    [LABEL.template]: template.name,
    [LABEL.expiresAt]: new Date(latest).toISOString(),
    [LABEL.role]: 'instance',
    [LABEL.pool]: pool ?? '',
    // Its environment is with the container; labels are told to whoever hears the daemon's events.
    [LABEL.recovery]: JSON.stringify({ ...recall, template: { ...template, env: {} } }),
  };
}

/** What a container tells of itself, beside what the daemon tells of it. */
export interface LabelledContainer {
  readonly labels: Readonly<Record<string, string>>;
  readonly name: string;
}

/**
 * What became of a container in its pool. Labels cannot change, but names can: one that was claimed
 * bears the generation of its claim.
 */
export function pooledOf({ labels, name }: LabelledContainer): 'unclaimed' | 'claimed' | undefined {
  if (!labels[LABEL.pool]) return undefined;
  return generationIn(name) > Number(labels[LABEL.generation]) ? 'claimed' : 'unclaimed';
}

function generationIn(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1));
}

/** The instance that a container tells of; undefined where its labels are not whole. */
export function instanceOf(
  container: LabelledContainer,
  seen: {
    readonly address: string;
    readonly startedAt: number;
    readonly paused: boolean;
    readonly now: number;
  },
): Instance | undefined {
  const { labels, name } = container;
  const { address, startedAt, paused, now } = seen;
  const { [LABEL.instance]: id, [LABEL.recovery]: text, [LABEL.host]: host } = labels;
  if (id === undefined || text === undefined || host === undefined) return undefined;
  const { pool, ...recall } = JSON.parse(text) as RecoveryMetadata;
  const { template, maxExpiresAt } = recall;
  // Of a claim the generation alone is known: it has the whole time of its template once more.
  const timeout = pool === undefined ? recall.timeout : template.timeout;
  const from = pool === undefined ? startedAt : now;
  const isLong = paused && template.onTimeout === 'pause';
  return {
    ...recall,
    timeout,
    id,
    generation: pool === undefined ? Number(labels[LABEL.generation]) : generationIn(name),
    supersedes: undefined,
    state: paused ? 'paused' : 'ready',
    reason: undefined,
    message: undefined,
    lastTransitionAt: from,
    host,
    address,
    startedAt,
    // Whoever uses it has told the store that lost it, and tells again in a moment.
    activeAt: now,
    expiresAt: isLong ? maxExpiresAt : Math.min(from + timeout, maxExpiresAt),
    env: {},
  };
}

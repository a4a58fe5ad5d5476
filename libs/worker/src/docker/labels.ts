import type { Instance, PublishedPorts, Template } from '@ephemera/domain';

/**
 * Labels identify a container. They cannot change, so the current lease is not among them. A
 * container inherits the labels of its image, so every label is set explicitly on every container;
 * otherwise an image could set it.
 */
export const LABEL = {
  namespace: 'ephemera.namespace',
  instance: 'ephemera.instance',
  generation: 'ephemera.generation',
  host: 'ephemera.host',
  template: 'ephemera.template',
  expiresAt: 'ephemera.expires-at',
  /** `instance`, or the role of a helper container. */
  role: 'ephemera.role',
  /** The pool that it was started for, or empty. */
  pool: 'ephemera.pool',
  /** The id of the image that its name meant at the creation. */
  imageId: 'ephemera.image-id',
  /** Data to restore the instance after a loss of Redis. */
  recovery: 'ephemera.recovery',
} as const;

/**
 * Compose labels the images that it builds with their project and service. Compose and other tools
 * would count a container that inherits these labels among the containers of that service.
 */
export const NO_COMPOSE_LABELS: Readonly<Record<string, string>> = {
  'com.docker.compose.project': '',
  'com.docker.compose.service': '',
};

const NO_LABELS = Object.fromEntries(Object.values(LABEL).map((name) => [name, '']));

/** The labels of a container that a worker makes for itself. @param role not `instance` */
export function helperLabels(namespace: string, role: string): Record<string, string> {
  return {
    ...NO_COMPOSE_LABELS,
    ...NO_LABELS,
    [LABEL.namespace]: namespace,
    [LABEL.role]: role,
  };
}

/** The immutable, non-secret data of an instance. */
interface RecoveryMetadata {
  readonly template: Template;
  readonly timeout: number;
  readonly createdAt: number;
  readonly maxExpiresAt: number;
  readonly url: string;
  readonly path?: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The pool that it was started for. */
  readonly pool?: string | undefined;
  /** The hash of the access token. It is not secret, because it does not give access. */
  readonly accessHash?: string | undefined;
}

export function labelsOf(
  namespace: string,
  host: string,
  instance: Instance,
  imageId: string,
): Record<string, string> {
  const { template, timeout, createdAt, maxExpiresAt, url, path, metadata, pool } = instance;
  // The latest possible first deadline: ready at the last moment, then the whole TTL. Pausing
  // templates and pool instances may live up to the maximum lifetime.
  const isLong = template.onTimeout === 'pause' || pool !== undefined;
  const latest = isLong ? maxExpiresAt : Math.min(instance.expiresAt + timeout, maxExpiresAt);
  const recovery: RecoveryMetadata = {
    template,
    timeout,
    createdAt,
    maxExpiresAt,
    url,
    path,
    metadata,
    pool,
    accessHash: instance.accessHash,
  };
  return {
    ...NO_COMPOSE_LABELS,
    ...template.labels,
    [LABEL.namespace]: namespace,
    [LABEL.instance]: instance.id,
    [LABEL.generation]: String(instance.generation),
    [LABEL.host]: host,
    [LABEL.template]: template.name,
    [LABEL.expiresAt]: new Date(latest).toISOString(),
    [LABEL.role]: 'instance',
    [LABEL.pool]: pool ?? '',
    [LABEL.imageId]: imageId,
    // The environment is omitted: Docker events contain all labels.
    [LABEL.recovery]: JSON.stringify({ ...recovery, template: { ...template, env: {} } }),
  };
}

/** The image of an instance: its name, and the id that the name meant at the creation. */
export function imageOf(
  labels: Readonly<Record<string, string>>,
): { readonly name: string; readonly id: string } | undefined {
  const { [LABEL.imageId]: id, [LABEL.recovery]: text } = labels;
  if (!id || text === undefined) return undefined;
  return { name: (JSON.parse(text) as RecoveryMetadata).template.image, id };
}

/** The labels and the name of a container. */
export interface LabelledContainer {
  readonly labels: Readonly<Record<string, string>>;
  readonly name: string;
}

/**
 * The pool state of a container. Labels cannot change, but names can: a claim renames the container
 * to the generation of the claim.
 */
export function pooledOf({ labels, name }: LabelledContainer): 'unclaimed' | 'claimed' | undefined {
  if (!labels[LABEL.pool]) return undefined;
  return generationIn(name) > Number(labels[LABEL.generation]) ? 'claimed' : 'unclaimed';
}

function generationIn(name: string): number {
  return Number(name.slice(name.lastIndexOf('-') + 1));
}

/** Rebuilds an instance from its container. Undefined if labels are missing. */
export function instanceOf(
  container: LabelledContainer,
  seen: {
    readonly address: string;
    readonly published?: PublishedPorts | undefined;
    readonly startedAt: number;
    readonly paused: boolean;
    readonly now: number;
  },
): Instance | undefined {
  const { labels, name } = container;
  const { address, published, startedAt, paused, now } = seen;
  const { [LABEL.instance]: id, [LABEL.recovery]: text, [LABEL.host]: host } = labels;
  if (id === undefined || text === undefined || host === undefined) return undefined;
  const { pool, ...recovery } = JSON.parse(text) as RecoveryMetadata;
  const { template, maxExpiresAt } = recovery;
  // Only the generation of a claim is known, so the instance gets the full TTL of its template
  // again.
  const timeout = pool === undefined ? recovery.timeout : template.timeout;
  const from = pool === undefined ? startedAt : now;
  const isLong = paused && template.onTimeout === 'pause';
  return {
    ...recovery,
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
    ...(published && { published }),
    startedAt,
    // The last use is lost. Active clients report their use again within seconds.
    activeAt: now,
    expiresAt: isLong ? maxExpiresAt : Math.min(from + timeout, maxExpiresAt),
    env: {},
  };
}

import type { Instance, Template } from '@ephemera/domain';

/** Labels say who a container is; they cannot change, so the lease is not among them. */
export const LABEL = {
  namespace: 'ephemera.namespace',
  instance: 'ephemera.instance',
  generation: 'ephemera.generation',
  host: 'ephemera.host',
  template: 'ephemera.template',
  expiresAt: 'ephemera.expires-at',
  /** What a store that lost everything needs to know the instance again. */
  recall: 'ephemera.recall',
} as const;

/** Everything of an instance that neither changes nor is a secret. */
interface Recall {
  readonly template: Template;
  readonly timeout: number;
  readonly createdAt: number;
  readonly maxExpiresAt: number;
  readonly url: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export function labelsOf(
  namespace: string,
  host: string,
  instance: Instance,
): Record<string, string> {
  const { template, timeout, createdAt, maxExpiresAt, url, metadata } = instance;
  // The latest that the first deadline can be: ready at the last moment, and the whole TTL.
  const latest = Math.min(instance.expiresAt + timeout, maxExpiresAt);
  const recall: Recall = { template, timeout, createdAt, maxExpiresAt, url, metadata };
  return {
    ...template.labels,
    [LABEL.namespace]: namespace,
    [LABEL.instance]: instance.id,
    [LABEL.generation]: String(instance.generation),
    [LABEL.host]: host,
    [LABEL.template]: template.name,
    [LABEL.expiresAt]: new Date(latest).toISOString(),
    [LABEL.recall]: JSON.stringify(recall),
  };
}

/** The ready instance that labels tell of; undefined where they are not whole. */
export function instanceOf(
  labels: Readonly<Record<string, string>>,
  address: string,
  startedAt: number,
): Instance | undefined {
  const { [LABEL.instance]: id, [LABEL.recall]: text, [LABEL.host]: host } = labels;
  if (id === undefined || text === undefined || host === undefined) return undefined;
  const recall = JSON.parse(text) as Recall;
  return {
    ...recall,
    id,
    generation: Number(labels[LABEL.generation]),
    supersedes: undefined,
    state: 'ready',
    reason: undefined,
    message: undefined,
    lastTransitionAt: startedAt,
    host,
    address,
    startedAt,
    activeAt: startedAt,
    expiresAt: Math.min(startedAt + recall.timeout, recall.maxExpiresAt),
    env: {},
  };
}

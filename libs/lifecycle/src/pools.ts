import { createHash, randomBytes } from 'node:crypto';
import { usesTokenPlaceholder, makeToken } from '@ephemera/domain';
import type { InstanceDraft, Template } from '@ephemera/domain';

/** What is to be kept warm of one template. */
export interface PoolSpec {
  readonly template: Template;
  /** Where visitors reach an instance, with `{id}` for its id. */
  readonly urlPattern: string;
  /** Tells this content of the template from every other. */
  readonly fingerprint: string;
}

/** The pools of warm instances. */
export interface Pools {
  /** Replaces what is to be kept warm. */
  setPoolSpecs(specs: readonly PoolSpec[]): Promise<void>;
  listPoolSpecs(): Promise<PoolSpec[]>;
  /** Keeps at least `ready` of a template for `ms`, by one entry of its schedule. */
  setScheduledMinimum(template: string, entry: number, ready: number, ms: number): Promise<void>;
  /** How many a template is to have now. */
  desiredCount(template: Template): Promise<number>;
  /** Unclaimed instances of a pool, those that still start too. */
  count(fingerprint: string): Promise<number>;
  /** Some that may be claimed, oldest first; they may be claimed meanwhile. */
  unclaimed(fingerprint: string, max: number): Promise<string[]>;
  /** Every pool that has instances, those of earlier configurations too. */
  fingerprints(): Promise<string[]>;
}

/** The wish for a template that keeps any warm; undefined for one that never does. */
export function poolSpecFor(template: Template, urlPattern: string): PoolSpec | undefined {
  if (template.pool === 0 && template.schedule.length === 0) return undefined;
  return { template, urlPattern, fingerprint: fingerprintOf(template, urlPattern) };
}

/** What may change without a change of the containers. */
const COUNTS = new Set<string>([
  'maxInstances',
  'whenFull',
  'maxQueued',
  'queueTimeout',
  'pool',
  'poolMaxAge',
  'create',
  'proofOfWork',
  'schedule',
] satisfies (keyof Template)[]);

function fingerprintOf(template: Template, urlPattern: string): string {
  const content = Object.entries(template).filter(([name]) => !COUNTS.has(name));
  return createHash('sha256')
    .update(JSON.stringify([content.sort(([a], [b]) => a.localeCompare(b)), urlPattern]))
    .digest('hex')
    .slice(0, 32);
}

/** The draft of one more instance of a pool: its time to live is the time that it may wait. */
export function warmDraft({ template, urlPattern }: PoolSpec, id: string): InstanceDraft {
  const url = urlPattern.replace('{id}', id);
  const token = usesTokenPlaceholder(template) ? makeToken(randomBytes) : undefined;
  return { id, template, timeout: template.poolMaxAge, url, token, env: {}, metadata: {} };
}

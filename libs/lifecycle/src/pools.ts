import { createHash, randomBytes } from 'node:crypto';
import { makeToken, newId, usesTokenPlaceholder } from '@ephemera/domain';
import type { InstanceDraft, Template } from '@ephemera/domain';
import { requestKill } from './kill.ts';
import type { RequestKillPorts } from './kill.ts';
import type { Intake, PoolSpec, Pools, Spawns } from './ports.ts';

/** The pool spec of a template. Undefined if it has neither `pool` nor `schedule`. */
export function poolSpecFor(template: Template, urlPattern: string): PoolSpec | undefined {
  if (template.pool === 0 && template.schedule.length === 0) return undefined;
  return { template, urlPattern, fingerprint: fingerprintOf(template, urlPattern) };
}

/** Template fields that do not affect the containers. A change of them keeps the pool. */
const NON_CONTAINER_FIELDS = new Set<string>([
  'imageAllow',
  'onVisit',
  'maxInstances',
  'whenFull',
  'maxQueued',
  'queueTimeout',
  'pool',
  'poolMaxAge',
  'create',
  'proofOfWork',
  'schedule',
  'gallery',
] satisfies (keyof Template)[]);

function fingerprintOf(template: Template, urlPattern: string): string {
  const content = Object.entries(template).filter(([name]) => !NON_CONTAINER_FIELDS.has(name));
  return createHash('sha256')
    .update(JSON.stringify([content.sort(([a], [b]) => a.localeCompare(b)), urlPattern]))
    .digest('hex')
    .slice(0, 32);
}

/** The draft of a pool instance. Its TTL is the maximum age in the pool. */
export function warmDraft({ template, urlPattern }: PoolSpec, id: string): InstanceDraft {
  const url = urlPattern.replace('{id}', id);
  const token = usesTokenPlaceholder(template) ? makeToken(randomBytes) : undefined;
  return { id, template, timeout: template.poolMaxAge, url, token, env: {}, metadata: {} };
}

export interface RefillPorts extends RequestKillPorts {
  readonly pools: Pools;
  readonly intake: Pick<Intake, 'createWarm'>;
  readonly spawns: Spawns;
}

export interface Refilled {
  readonly started: number;
  readonly retired: number;
}

/**
 * Scales the pool of one template. Without `template`, scales all pools and empties those of
 * earlier configurations. Safe to run concurrently: `createWarm` checks the size of the pool
 * atomically.
 */
export async function refill(ports: RefillPorts, template?: string): Promise<Refilled> {
  const specs = await ports.pools.listPoolSpecs();
  let [started, retired] = [0, 0];
  for (const spec of specs) {
    if (template !== undefined && spec.template.name !== template) continue;
    const desired = await ports.pools.desiredCount(spec.template);
    started += await scaleUp(ports, spec, desired);
    retired += await scaleDown(ports, spec.fingerprint, desired);
  }
  if (template === undefined) {
    const current = new Set(specs.map(({ fingerprint }) => fingerprint));
    for (const fingerprint of await ports.pools.fingerprints()) {
      if (!current.has(fingerprint)) retired += await scaleDown(ports, fingerprint, 0);
    }
  }
  return { started, retired };
}

/** Starts missing instances until the pool is full or there is no capacity. */
async function scaleUp(
  { intake, spawns }: RefillPorts,
  spec: PoolSpec,
  desired: number,
): Promise<number> {
  for (let started = 0; ; started++) {
    const instance = await intake.createWarm(
      warmDraft(spec, newId(randomBytes)),
      spec.fingerprint,
      desired,
    );
    if (!instance) return started;
    await spawns.add(instance, 'pool');
  }
}

/** Ends surplus instances, each only if it is still unclaimed. */
async function scaleDown(
  ports: RefillPorts,
  fingerprint: string,
  desired: number,
): Promise<number> {
  const surplus = (await ports.pools.count(fingerprint)) - desired;
  if (surplus <= 0) return 0;
  let retired = 0;
  for (const id of await ports.pools.unclaimed(fingerprint, surplus)) {
    if ((await requestKill(ports, id, 'surplus')).kind === 'draining') retired++;
  }
  return retired;
}

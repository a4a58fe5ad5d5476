import type { Instance, InstanceDraft } from '@ephemera/domain';
import type { Spawns } from './create.ts';
import type { Claimed, Intake, Order, Taken } from './intake.ts';
import type { Instances, Kills } from './ports.ts';
import type { Ends } from './request-kill.ts';

export interface ObtainPorts {
  readonly intake: Pick<Intake, 'take' | 'claim'>;
  readonly instances: Pick<Instances, 'end'>;
  readonly spawns: Spawns;
  readonly kills: Pick<Kills, 'arm' | 'disarm'>;
  readonly ends: Ends;
  /** Whether a claimed instance answers from here: one attempt, bounded by itself. */
  readonly reach: (instance: Instance) => Promise<boolean>;
  /** Asks for the pool of a template to be filled up. */
  readonly refills: { request(template: string): Promise<void> };
  /** Told of what failed after the visitor had his answer; reconciliation makes up for it. */
  readonly onFault: (error: unknown) => void;
}

export type Obtained = Taken | Extract<Claimed, { kind: 'claimed' }>;

/** How many warm instances that do not answer are tried before one is started. */
const CLAIMS = 3;

/**
 * Gets somebody an instance: a warm one of the pool where one answers, else a new one, for which
 * the workers are asked. A kill job stands before it is handed out.
 */
export async function obtain(
  ports: ObtainPorts,
  draft: InstanceDraft,
  order: Order,
  pool?: string,
): Promise<Obtained> {
  let replacing: string | undefined;
  for (let i = 0; pool !== undefined && i < CLAIMS; i++) {
    const claimed = await ports.intake.claim(pool, draft, { ...order, replacing });
    if (claimed.kind === 'none') break;
    if (claimed.kind !== 'claimed') return claimed;
    const { instance } = claimed;
    const [answers] = await Promise.all([
      ports.reach(instance),
      ports.kills.arm(instance, earliestEnd(instance)),
    ]);
    if (answers) {
      afterwards(ports, instance);
      return claimed;
    }
    replacing = instance.id;
    await discard(ports, instance);
  }
  const taken = await ports.intake.take(draft, { ...order, replacing });
  // Where the asking fails, the pending instance ends at its start deadline.
  if (taken.kind === 'created') await ports.spawns.add(taken.instance);
  return taken;
}

/** The job of its time in the pool is not needed any more, and another is to take its place. */
function afterwards({ kills, refills, onFault }: ObtainPorts, instance: Instance): void {
  Promise.all([kills.disarm(instance), refills.request(instance.template.name)]).catch(onFault);
}

async function discard(
  { instances, ends, kills, refills }: ObtainPorts,
  dead: Instance,
): Promise<void> {
  const ending = await instances.end(dead.id, 'exited', 'It did not answer when it was claimed.');
  if (ending.kind === 'draining') await ends.finish(ending.instance);
  // Somebody else ended it, perhaps before the job was armed that it was claimed with.
  else await kills.disarm({ ...dead, supersedes: dead.generation });
  // That of its time in the pool; the end has taken away the one of the claim.
  await kills.disarm(dead);
  await refills.request(dead.template.name);
}

/** A kill job only ever moves later: it is due at the earliest moment that the end can be at. */
function earliestEnd({ timeout, template }: Instance): number {
  return Math.min(timeout, template.idleTimeout ?? timeout);
}

import type { Instance, InstanceDraft } from '@ephemera/domain';
import type {
  ClaimResult,
  CreateResult,
  CreationContext,
  Instances,
  Intake,
  KillJobs,
  KillRequests,
  Spawns,
  StartQueue,
} from './ports.ts';

export interface AcquirePorts {
  readonly intake: Pick<Intake, 'createOrQueue' | 'claimWarm'>;
  readonly instances: Pick<Instances, 'startDraining'>;
  readonly spawns: Spawns;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  readonly killRequests: KillRequests;
  /** Whether a claimed instance answers from here: one attempt, bounded by itself. */
  readonly isReachable: (instance: Instance) => Promise<boolean>;
  /** Asks for the pool of a template to be filled up. */
  readonly refills: { request(template: string): Promise<void> };
  /** Told of what failed after the visitor had his answer; reconciliation makes up for it. */
  readonly onError: (error: unknown) => void;
}

export type AcquireResult = CreateResult | Extract<ClaimResult, { kind: 'claimed' }>;

/** How many warm instances that do not answer are tried before one is started. */
const MAX_CLAIM_ATTEMPTS = 3;

/**
 * Gets somebody an instance: a warm one of the pool where one answers, else a new one, for which
 * the workers are asked. A kill job stands before it is handed out.
 */
export async function acquireInstance(
  ports: AcquirePorts,
  draft: InstanceDraft,
  context: CreationContext,
  pool?: string,
): Promise<AcquireResult> {
  let replacing: string | undefined;
  for (let i = 0; pool !== undefined && i < MAX_CLAIM_ATTEMPTS; i++) {
    const claimed = await ports.intake.claimWarm(pool, draft, { ...context, replacing });
    if (claimed.kind === 'none') break;
    if (claimed.kind !== 'claimed') return claimed;
    const { instance } = claimed;
    const [answers] = await Promise.all([
      ports.isReachable(instance),
      ports.killJobs.schedule(instance, earliestExpiryMs(instance)),
    ]);
    if (answers) {
      releasePoolResources(ports, instance);
      return claimed;
    }
    replacing = instance.id;
    await discardUnreachable(ports, instance);
  }
  const taken = await ports.intake.createOrQueue(draft, { ...context, replacing });
  // Where the asking fails, the pending instance ends at its start deadline.
  if (taken.kind === 'created') await ports.spawns.add(taken.instance);
  return taken;
}

/** The job of its time in the pool is not needed any more, and another is to take its place. */
function releasePoolResources(
  { killJobs, refills, onError }: AcquirePorts,
  instance: Instance,
): void {
  Promise.all([killJobs.cancel(instance), refills.request(instance.template.name)]).catch(onError);
}

async function discardUnreachable(
  { instances, killRequests, killJobs, refills }: AcquirePorts,
  dead: Instance,
): Promise<void> {
  const outcome = await instances.startDraining(
    dead.id,
    'exited',
    'It did not answer when it was claimed.',
  );
  if (outcome.kind === 'draining') await killRequests.enqueueNow(outcome.instance);
  // Somebody else ended it, perhaps before the job was armed that it was claimed with.
  else await killJobs.cancel({ ...dead, supersedes: dead.generation });
  // That of its time in the pool; the end has taken away the one of the claim.
  await killJobs.cancel(dead);
  await refills.request(dead.template.name);
}

/** A kill job only ever moves later: it is due at the earliest moment that the end can be at. */
function earliestExpiryMs({ timeout, template }: Instance): number {
  return Math.min(timeout, template.idleTimeout ?? timeout);
}

export interface CreatePorts {
  readonly instances: Pick<Instances, 'create'>;
  readonly spawns: Spawns;
}

/**
 * Writes the intent of an instance and asks the workers for it. Where the asking fails, the
 * pending instance stays behind without a container, and reconciliation ends it at its deadline.
 */
export async function create(
  { instances, spawns }: CreatePorts,
  draft: InstanceDraft,
): Promise<Instance> {
  const instance = await instances.create(draft);
  await spawns.add(instance);
  return instance;
}

/**
 * Lets in those who wait, first come first served in each template, as far as there is room now.
 * Gives their ids. Where a spawn job cannot be added, the instance ends at its start deadline.
 */
export async function startQueuedInstances(ports: {
  startQueue: StartQueue;
  spawns: Spawns;
}): Promise<string[]> {
  const { startQueue, spawns } = ports;
  const started: string[] = [];
  for (const template of await startQueue.templates()) {
    for (
      let next = await startQueue.dequeue(template);
      next;
      next = await startQueue.dequeue(template)
    ) {
      await spawns.add(next);
      started.push(next.id);
    }
  }
  return started;
}

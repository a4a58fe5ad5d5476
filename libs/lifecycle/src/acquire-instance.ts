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
  readonly intake: Pick<Intake, 'createOrQueue' | 'claimWarm' | 'confirm'>;
  readonly instances: Pick<Instances, 'startDraining'>;
  readonly spawns: Spawns;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  readonly killRequests: KillRequests;
  /** Whether a claimed instance answers from this replica: one attempt with its own timeout. */
  readonly isReachable: (instance: Instance) => Promise<boolean>;
  /** Requests a refill of the template's pool. */
  readonly refills: { request(template: string): Promise<void> };
  /** Called with errors that occur after the client has its answer; reconciliation repairs them. */
  readonly onError: (error: unknown) => void;
}

export type AcquireResult = CreateResult | Extract<ClaimResult, { kind: 'claimed' }>;

/** Number of unreachable warm instances after which a new one is started. */
const MAX_CLAIM_ATTEMPTS = 3;

/**
 * Returns a warm instance of the pool if one answers, else creates one and adds its spawn job. A
 * warm instance has its kill job before it is handed out.
 *
 * Where the store cannot confirm an instance, the client gets an error, and the instance remains: a
 * repetition under the same idempotency key returns it, and otherwise it ends at its deadline.
 * @throws ApiError store_unavailable if the store may lose the instance
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
    if (claimed.kind !== 'claimed') return confirmed(ports, claimed);
    const { instance } = claimed;
    const [answers] = await Promise.all([
      ports.isReachable(instance),
      ports.killJobs.schedule(instance, earliestExpiryMs(instance)),
    ]);
    if (answers) {
      releasePoolResources(ports, instance);
      return confirmed(ports, claimed);
    }
    replacing = instance.id;
    await discardUnreachable(ports, instance);
  }
  const taken = await ports.intake.createOrQueue(draft, { ...context, replacing });
  // If adding the job fails, reconciliation adds it, or ends the instance at its start deadline.
  if (taken.kind === 'created') await ports.spawns.add(taken.instance);
  return confirmed(ports, taken);
}

/** A repetition is confirmed too: the first request may have got no confirmation. */
async function confirmed<T extends AcquireResult>({ intake }: AcquirePorts, result: T): Promise<T> {
  if ('instance' in result && result.instance) await intake.confirm(result.instance);
  return result;
}

/** Cancels the kill job of the pool generation, and requests a replacement for the pool. */
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
  // Another process ended it, perhaps before the kill job of the claim was scheduled.
  else await killJobs.cancel({ ...dead, supersedes: dead.generation });
  // The kill job of the pool generation; draining has cancelled that of the claim.
  await killJobs.cancel(dead);
  await refills.request(dead.template.name);
}

/** A kill job can only re-delay itself, so it is scheduled for the earliest possible end. */
function earliestExpiryMs({ timeout, template }: Instance): number {
  return Math.min(timeout, template.idleTimeout ?? timeout);
}

export interface CreatePorts {
  readonly instances: Pick<Instances, 'create'>;
  readonly spawns: Spawns;
}

/**
 * Writes the intent of an instance and adds its spawn job. If adding the job fails, the instance stays
 * pending without a container, and reconciliation adds the job or ends the instance.
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
 * Starts queued instances in order, for each template, as far as there is capacity. Returns their
 * ids. If a spawn job cannot be added, reconciliation adds it.
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

import type { Instance, InstanceDraft } from '@ephemera/domain';
import type {
  ClaimResult,
  CreateResult,
  CreationContext,
  Instances,
  Intake,
  KillJobs,
  KillRequests,
  RedeemableGrant,
  Spawns,
  StartQueue,
} from './ports.ts';

export interface AcquirePorts {
  readonly intake: Pick<Intake, 'createOrQueue' | 'claimWarm' | 'confirm' | 'withdraw'>;
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

/** Attempts to withdraw an instance, and the time between them, ms: longer than a failover takes. */
const WITHDRAW_ATTEMPTS = 30;
const WITHDRAW_INTERVAL_MS = 1_000;

/** Number of unreachable warm instances after which a new one is started. */
const MAX_CLAIM_ATTEMPTS = 3;

/**
 * Returns a warm instance of the pool if one answers, else creates one and adds its spawn job. A
 * warm instance has its kill job before it is handed out.
 *
 * Where the store cannot confirm an instance, the client gets an error. With an idempotency key the
 * instance remains, and a repetition returns it. Without one nobody can learn its id: it is withdrawn,
 * so that the same link or proof of work starts another one.
 * @throws ApiError store_unavailable if the store may lose the instance
 */
export async function acquireInstance(
  ports: AcquirePorts,
  draft: InstanceDraft,
  context: CreationContext,
  pool?: string,
): Promise<AcquireResult> {
  const unconfirmed: Unconfirmed = { instance: undefined };
  try {
    return await acquire(ports, draft, { context, pool, unconfirmed });
  } catch (error) {
    const { instance } = unconfirmed;
    if (instance && !context.idempotency) await withdraw(ports, instance, context.grants);
    throw error;
  }
}

/** The instance that this request has got, but that no client has learned of. */
interface Unconfirmed {
  instance: Instance | undefined;
}

interface Acquisition {
  readonly context: CreationContext;
  readonly pool: string | undefined;
  readonly unconfirmed: Unconfirmed;
}

async function acquire(
  ports: AcquirePorts,
  draft: InstanceDraft,
  { context, pool, unconfirmed }: Acquisition,
): Promise<AcquireResult> {
  let replacing: string | undefined;
  for (let i = 0; pool !== undefined && i < MAX_CLAIM_ATTEMPTS; i++) {
    const claimed = await ports.intake.claimWarm(pool, draft, { ...context, replacing });
    if (claimed.kind === 'none') break;
    if (claimed.kind !== 'claimed') return confirmed(ports, claimed);
    const { instance } = claimed;
    unconfirmed.instance = instance;
    const [answers] = await Promise.all([
      ports.isReachable(instance),
      ports.killJobs.schedule(instance, earliestExpiryMs(instance)),
    ]);
    if (answers) {
      releasePoolResources(ports, instance);
      return confirmed(ports, claimed);
    }
    replacing = instance.id;
    unconfirmed.instance = undefined;
    await discardUnreachable(ports, instance);
  }
  const taken = await ports.intake.createOrQueue(draft, { ...context, replacing });
  if (taken.kind === 'created' || taken.kind === 'queued') unconfirmed.instance = taken.instance;
  // If adding the job fails, reconciliation adds it, or ends the instance at its start deadline.
  if (taken.kind === 'created') await ports.spawns.add(taken.instance);
  return confirmed(ports, taken);
}

/** A repetition is confirmed too: the first request may have got no confirmation. */
async function confirmed<T extends AcquireResult>({ intake }: AcquirePorts, result: T): Promise<T> {
  if ('instance' in result && result.instance) await intake.confirm(result.instance);
  return result;
}

/** Attempts once, and goes on in the background while the store is unavailable. */
async function withdraw(
  { intake, killRequests, onError }: AcquirePorts,
  instance: Instance,
  grants: readonly RedeemableGrant[] = [],
): Promise<void> {
  const attempt = async (): Promise<void> => {
    const outcome = await intake.withdraw(instance, grants);
    if (outcome.kind !== 'draining') return;
    await killRequests.enqueueNow(outcome.instance).catch(onError);
  };
  const repeat = async (): Promise<void> => {
    for (let i = 1; ; i++) {
      await new Promise((resolve) => setTimeout(resolve, WITHDRAW_INTERVAL_MS).unref());
      try {
        await attempt();
        return;
      } catch (error) {
        if (i === WITHDRAW_ATTEMPTS) throw error;
      }
    }
  };
  await attempt().catch(() => void repeat().catch(onError));
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

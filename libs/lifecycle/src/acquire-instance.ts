import { randomUUID } from 'node:crypto';
import type { Instance, InstanceDraft } from '@ephemera/domain';
import { NotSentError } from './ports.ts';
import type {
  ClaimResult,
  CreateResult,
  CreationContext,
  DrainOutcome,
  Instances,
  Intake,
  KillJobs,
  KillRequests,
  Spawns,
  StartQueue,
  Withdrawable,
  WithdrawalReason,
} from './ports.ts';

export interface AcquirePorts {
  readonly intake: Pick<Intake, 'createOrQueue' | 'claimWarm' | 'confirm' | 'withdraw'>;
  readonly instances: Pick<Instances, 'finalize'>;
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

/**
 * Attempts to withdraw an instance, and the time between them, ms: longer than a failover takes, and
 * shorter than the store keeps the result of a call.
 */
const WITHDRAW_ATTEMPTS = 30;
const WITHDRAW_INTERVAL_MS = 1_000;

/** Number of unreachable warm instances after which a new one is started. */
const MAX_CLAIM_ATTEMPTS = 3;

/**
 * Returns a warm instance of the pool if one answers, else creates one and adds its spawn job. A
 * warm instance has its kill job before it is handed out.
 *
 * A warm instance that does not answer is withdrawn before another one is claimed or created, so it
 * uses up no quota, grant or idempotency key.
 *
 * Where the store cannot confirm an instance or its reply is lost, the client gets an error. With an
 * idempotency key the instance remains, and a repetition returns it. Without one nobody can learn its
 * id: it is withdrawn, so that the same link or proof of work starts another one.
 * @throws ApiError store_unavailable if the store may lose the instance
 */
export async function acquireInstance(
  ports: AcquirePorts,
  draft: InstanceDraft,
  context: CreationContext,
  pool?: string,
): Promise<AcquireResult> {
  const unconfirmed: Unconfirmed = { result: undefined };
  try {
    return await acquire(ports, draft, { context, pool, unconfirmed });
  } catch (error) {
    const { result } = unconfirmed;
    // The client gets the error of the acquisition, and the withdrawal is repeated if it fails.
    if (result && !context.idempotency) {
      await withdraw(ports, result, context, 'unconfirmed').catch(() => undefined);
    }
    throw error;
  }
}

/** What this request has got or may have got, and no client has learned of. */
interface Unconfirmed {
  result: Withdrawable | undefined;
}

interface Acquisition {
  readonly context: CreationContext;
  readonly pool: string | undefined;
  readonly unconfirmed: Unconfirmed;
}

/**
 * Makes a call that creates or claims an instance, and records what it may have got.
 * @param id of the instance that it creates; undefined for a claim
 */
async function track<T extends CreateResult | ClaimResult>(
  unconfirmed: Unconfirmed,
  id: string | undefined,
  call: (attempt: string) => Promise<T>,
): Promise<T> {
  const attempt = randomUUID();
  unconfirmed.result = { attempt, id };
  try {
    const result = await call(attempt);
    const { kind } = result;
    const isNew = kind === 'created' || kind === 'queued' || kind === 'claimed';
    unconfirmed.result = isNew ? result.instance : undefined;
    return result;
  } catch (error) {
    if (error instanceof NotSentError) unconfirmed.result = undefined;
    throw error;
  }
}

async function acquire(
  ports: AcquirePorts,
  draft: InstanceDraft,
  { context, pool, unconfirmed }: Acquisition,
): Promise<AcquireResult> {
  for (let i = 0; pool !== undefined && i < MAX_CLAIM_ATTEMPTS; i++) {
    const claimed = await track(unconfirmed, undefined, (attempt) =>
      ports.intake.claimWarm(pool, draft, { ...context, attempt }),
    );
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
    unconfirmed.result = undefined;
    await discardUnreachable(ports, instance, context);
  }
  const taken = await track(unconfirmed, draft.id, (attempt) =>
    ports.intake.createOrQueue(draft, { ...context, attempt }),
  );
  // If adding the job fails, reconciliation adds it, or ends the instance at its start deadline.
  if (taken.kind === 'created') await ports.spawns.add(taken.instance);
  return confirmed(ports, taken);
}

/** A repetition is confirmed too: the first request may have got no confirmation. */
async function confirmed<T extends AcquireResult>({ intake }: AcquirePorts, result: T): Promise<T> {
  if ('instance' in result && result.instance) await intake.confirm(result.instance);
  return result;
}

/**
 * Attempts once, and goes on in the background while the store is unavailable.
 * @throws the error of the first attempt
 */
async function withdraw(
  { intake, instances, killRequests, onError }: AcquirePorts,
  withdrawn: Withdrawable,
  context: CreationContext,
  reason: WithdrawalReason,
): Promise<DrainOutcome> {
  const attempt = async (): Promise<DrainOutcome> => {
    const outcome = await intake.withdraw(withdrawn, context, reason);
    if (outcome.kind !== 'draining') return outcome;
    const { instance } = outcome;
    const end =
      instance.host === undefined
        ? instances.finalize(instance.id, instance.generation)
        : killRequests.enqueueNow(instance);
    await end.catch(onError);
    return outcome;
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
  return attempt().catch((error: unknown) => {
    repeat().catch(onError);
    throw error;
  });
}

/** Cancels the kill job of the pool generation, and requests a replacement for the pool. */
function releasePoolResources(
  { killJobs, refills, onError }: AcquirePorts,
  instance: Instance,
): void {
  Promise.all([killJobs.cancel(instance), refills.request(instance.template.name)]).catch(onError);
}

async function discardUnreachable(
  ports: AcquirePorts,
  dead: Instance,
  context: CreationContext,
): Promise<void> {
  const { killJobs, refills, onError } = ports;
  const outcome = await withdraw(ports, dead, context, 'unreachable');
  // Another process ended it, perhaps before the kill job of the claim was scheduled.
  if (outcome.kind !== 'draining') {
    await killJobs.cancel({ ...dead, supersedes: dead.generation }).catch(onError);
  }
  // The kill job of the pool generation; draining has cancelled that of the claim.
  await Promise.all([killJobs.cancel(dead), refills.request(dead.template.name)]).catch(onError);
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

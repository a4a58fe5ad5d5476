import { hintFor, killDelay } from '@ephemera/domain';
import type { Instance, Template } from '@ephemera/domain';
import { reportExit, reportFailure } from './exit-report.ts';
import { kill } from './kill.ts';
import type { OnKilled } from './kill.ts';
import { FINAL_CHECK_MS, START_POLL_INTERVAL_MS } from './limits.ts';
import { ContainerStartError } from './ports.ts';
import type {
  Addresses,
  Containers,
  Instances,
  KillJobs,
  Probe,
  Progress,
  ReadyLease,
  ReportProgress,
} from './ports.ts';

export interface SpawnPorts {
  readonly host: string;
  readonly instances: Pick<
    Instances,
    'assignToHost' | 'markReady' | 'startDraining' | 'finalize' | 'get' | 'now'
  >;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  readonly addresses: Addresses;
  readonly containers: Containers;
  readonly probe: Probe;
  /** Receives every step of the start. */
  readonly progress?: Progress;
  readonly onKilled?: OnKilled | undefined;
  /**
   * Whether the job was requeued for another worker. Errors after that must not end the instance.
   */
  readonly wasRequeued?: () => boolean;
  /** Waits between two probes. */
  readonly pause: (ms: number) => Promise<void>;
}

export type Spawned =
  | { readonly kind: 'ready'; readonly instance: Instance }
  /** Killed or superseded during the start. This run left no container running. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'failed'; readonly message: string };

const INITIAL_PAUSE_MS = 2;
const MAX_PAUSE_MS = 100;
/**
 * Starts a pending instance, in this order: intent, kill job, container, probe, route. A crash
 * after any step leads to a kill or to a second run of this job, never to a leak. Throws if a retry
 * may help, for example while the daemon or the store is unavailable.
 */
export async function spawn(ports: SpawnPorts, id: string, generation: number): Promise<Spawned> {
  const { host, instances, killJobs } = ports;
  const spawned = await bringUp(ports, id, generation);
  if (spawned.kind !== 'superseded') return spawned;
  // The instance may have been ended before its kill job was scheduled above, even if another run
  // of this job started it. Nothing else would cancel that job.
  const now = await instances.get(id);
  if (now?.generation !== generation) await killJobs.cancel({ id, supersedes: generation, host });
  return spawned;
}

async function bringUp(ports: SpawnPorts, id: string, generation: number): Promise<Spawned> {
  const { host, instances, killJobs, addresses, containers } = ports;
  const instance = await instances.assignToHost(id, generation, host);
  if (!instance) return { kind: 'superseded' };

  await killJobs.schedule(instance, Math.max(0, killDelay(instance, await instances.now())));

  let { expiresAt } = instance;
  try {
    const reportProgress: ReportProgress = async (step, timeoutMs) => {
      const deadline = ports.progress
        ? await ports.progress.report(instance, step, timeoutMs)
        : expiresAt;
      expiresAt = deadline ?? expiresAt;
      return deadline !== undefined;
    };
    const started = await containers.start(instance, () => addresses.next(), reportProgress);
    if (!started) return { kind: 'superseded' };
    const { containerId, address, published } = started;
    await reportProgress({ step: 'probing', message: 'Waiting for the application to respond.' });
    await untilServing(ports, { ...instance, expiresAt }, containerId, address);
    const lease = await instances.markReady(id, generation, address, host, published);
    if (!lease) {
      // Remove only this container: another run may have made another one ready, and a client may
      // use it.
      await containers.remove(containerId);
      return { kind: 'superseded' };
    }
    const { replaced, ...times } = lease;
    // If this fails, reconciliation ends the replaced instance, and the proxies refuse it.
    if (replaced) await endAtDeadline(killJobs, replaced).catch(() => undefined);
    const state = instance.pool === undefined ? 'ready' : 'warm';
    return { kind: 'ready', instance: { ...instance, ...times, state, address, published } };
  } catch (error) {
    if (ports.wasRequeued?.() === true) throw error;
    const { template } = instance;
    const isLast = expiresAt - (await instances.now()) <= lastRetryMs(template);
    if (!(error instanceof ContainerStartError) && !isLast) throw error;
    const { message } = error as Error;
    const text =
      error instanceof ContainerStartError
        ? message
        : `The container could not be started before its start deadline. The last error: ${message}`;
    const known = error instanceof ContainerStartError ? error.hint : undefined;
    const hint = known ?? hintFor({ log: text.split('\n'), exitCode: -1, template });
    const killed = await kill(ports, id, 'start_failed', text, hint);
    // A concurrent kill removes the container during the probe. That is not a failed start.
    const failed = killed.kind === 'killed' && killed.instance.reason === 'start_failed';
    return failed ? { kind: 'failed', message: text } : { kind: 'superseded' };
  }
}

/** Replaces the kill job of an instance whose deadline is earlier than before. */
async function endAtDeadline(
  killJobs: SpawnPorts['killJobs'],
  replaced: NonNullable<ReadyLease['replaced']>,
): Promise<void> {
  await killJobs.cancel({ ...replaced, supersedes: replaced.generation });
  await killJobs.schedule(replaced, Math.max(0, replaced.remaining));
}

/**
 * A failed attempt this long before the start deadline is the last one. The next one follows after at
 * most 1.5 s, and the kill job would end the instance without the error of the daemon.
 */
function lastRetryMs({ ready }: Template): number {
  return Math.min(FINAL_CHECK_MS, ready.within / 2);
}

/**
 * Probes until the instance is ready.
 * @throws ContainerStartError if the container exits or the start deadline passes
 */
async function untilServing(
  { instances, containers, probe, pause }: SpawnPorts,
  instance: Instance,
  containerId: string,
  address: string,
): Promise<void> {
  let wait = INITIAL_PAUSE_MS;
  let lookedAt = 0;
  const { within: timeoutMs } = instance.template.ready;
  const lastAt = instance.expiresAt - Math.min(FINAL_CHECK_MS, timeoutMs / 4);
  let now = await instances.now();
  for (;;) {
    const result = await probe(instance, address, lastAt - now);
    if (result.ready) {
      // An exit that the daemon reports before `markReady` is ignored: the instance does not serve.
      await requireRunning(containers, containerId, instance.template);
      return;
    }
    now = await instances.now();
    const isLast = lastAt <= now;
    if (wait < MAX_PAUSE_MS || isLast || now - lookedAt >= START_POLL_INTERVAL_MS) {
      await requireRunning(containers, containerId, instance.template);
      lookedAt = now;
    }
    if (isLast) {
      const { template } = instance;
      const text = unreadyMessage(template, result.finding);
      const run = { template, refused: result.refused };
      const report = await reportFailure(containers, containerId, text, run);
      throw new ContainerStartError(report.message, report.hint);
    }
    await pause(wait);
    wait = Math.min(wait * 2, MAX_PAUSE_MS);
  }
}

/** @throws ContainerStartError if the container has exited or was removed */
async function requireRunning(
  containers: Containers,
  containerId: string,
  template: Template,
): Promise<void> {
  const seen = await containers.inspect(containerId);
  if (seen?.running) return;
  const { message, hint } = await reportExit(containers, containerId, seen, template);
  throw new ContainerStartError(message, hint);
}

/** The message for an application that never passed its readiness probe. */
function unreadyMessage({ ready }: Template, finding: string): string {
  const seconds = Math.round(ready.within / 1000);
  return `It was not ready within ${seconds} s. ${finding} If it only needs more time, raise ready.within.`;
}

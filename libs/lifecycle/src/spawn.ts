import { killDelay } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { exitMessage, kill } from './kill.ts';
import type { OnKilled } from './kill.ts';
import { ContainerStartError } from './ports.ts';
import type {
  Addresses,
  Containers,
  Instances,
  KillJobs,
  Probe,
  Progress,
  ReportProgress,
} from './ports.ts';

export interface SpawnPorts {
  readonly host: string;
  readonly instances: Instances;
  readonly killJobs: KillJobs;
  readonly addresses: Addresses;
  readonly containers: Containers;
  readonly probe: Probe;
  /** Hears of every step; nobody does where absent. */
  readonly progress?: Progress;
  readonly onKilled?: OnKilled | undefined;
  /** Whether another worker has the job by now: what goes wrong here from then on ends nothing. */
  readonly wasRequeued?: () => boolean;
  /** Waits between two probes. */
  readonly pause: (ms: number) => Promise<void>;
}

export type Spawned =
  | { readonly kind: 'ready'; readonly instance: Instance }
  /** Killed or taken over meanwhile: this run has nothing to show, and left nothing running. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'failed'; readonly message: string };

const INITIAL_PAUSE_MS = 2;
const MAX_PAUSE_MS = 100;
/** How much of a log is told at most, characters: an entry may have 16 KB, and many keep a copy. */
const MAX_LOG_BYTES = 2_000;
/** How often the daemon is asked after a container that takes long, ms: there may be many of them. */
const POLL_INTERVAL_MS = 500;

/**
 * A start gives up this long before its deadline, so that it can tell why before its kill job
 * would end it without a word; a daemon under load takes its time to hand out a log.
 */
const FINAL_CHECK_MS = 2_000;

/**
 * Brings a pending instance up: intent, kill job, container, probe, route; in this order, so that
 * a crash after any step ends in a kill or in a second run of this job, never in a leak.
 * Throws where trying again may help (the daemon or the store is away).
 */
export async function spawn(ports: SpawnPorts, id: string, generation: number): Promise<Spawned> {
  const { host, instances, killJobs } = ports;
  const spawned = await bringUp(ports, id, generation);
  if (spawned.kind !== 'superseded') return spawned;
  // Whoever ended it may have done so before its kill job was armed here; another run of this
  // job may have brought it up all the same.
  const now = await instances.get(id);
  if (now?.generation !== generation) await killJobs.cancel({ id, supersedes: generation, host });
  return spawned;
}

async function bringUp(ports: SpawnPorts, id: string, generation: number): Promise<Spawned> {
  const { host, instances, killJobs, addresses, containers } = ports;
  const instance = await instances.assignToHost(id, generation, host);
  if (!instance) return { kind: 'superseded' };

  await killJobs.schedule(instance, Math.max(0, killDelay(instance, await instances.now())));

  try {
    let { expiresAt } = instance;
    const reportProgress: ReportProgress = async (step, timeoutMs) => {
      const held = ports.progress
        ? await ports.progress.report(instance, step, timeoutMs)
        : expiresAt;
      expiresAt = held ?? expiresAt;
      return held !== undefined;
    };
    const started = await containers.start(instance, () => addresses.next(), reportProgress);
    if (!started) return { kind: 'superseded' };
    const { containerId, address } = started;
    await reportProgress({ step: 'probing', message: 'Waiting for it to answer.' });
    await untilServing(ports, { ...instance, expiresAt }, containerId, address);
    const published = await instances.markReady(id, generation, address, host);
    if (!published) {
      // This one alone: another run may have published another, and somebody may have it.
      await containers.remove(containerId);
      return { kind: 'superseded' };
    }
    const state = instance.pool === undefined ? 'ready' : 'warm';
    return { kind: 'ready', instance: { ...instance, ...published, state, address } };
  } catch (error) {
    if (!(error instanceof ContainerStartError) || ports.wasRequeued?.() === true) throw error;
    const killed = await kill(ports, id, 'start_failed', error.message);
    // A kill that came first takes the container away under the probe, and is no failed start.
    const failed = killed.kind === 'killed' && killed.instance.reason === 'start_failed';
    return failed ? { kind: 'failed', message: error.message } : { kind: 'superseded' };
  }
}

/** Probes until the instance serves; a container that ends first, or never serves, is a fault. */
async function untilServing(
  { instances, containers, probe, pause }: SpawnPorts,
  instance: Instance,
  containerId: string,
  address: string,
): Promise<void> {
  let wait = INITIAL_PAUSE_MS;
  let lookedAt = 0;
  const { within: timeoutMs } = instance.template.ready;
  while (!(await probe(instance, address))) {
    const now = await instances.now();
    const isLast = instance.expiresAt - Math.min(FINAL_CHECK_MS, timeoutMs / 4) <= now;
    if (wait < MAX_PAUSE_MS || isLast || now - lookedAt >= POLL_INTERVAL_MS) {
      const seen = await containers.inspect(containerId);
      if (!seen?.running) {
        throw new ContainerStartError(await withLog(containers, containerId, exitMessage(seen)));
      }
      lookedAt = now;
    }
    if (isLast) {
      const waited = Math.round(timeoutMs / 1000);
      const text = `It did not answer on port ${instance.template.port} within ${waited} s.`;
      throw new ContainerStartError(await withLog(containers, containerId, text));
    }
    await pause(wait);
    wait = Math.min(wait * 2, MAX_PAUSE_MS);
  }
}

async function withLog(containers: Containers, containerId: string, text: string): Promise<string> {
  const lines = plainText(await containers.lastLines(containerId, 10))
    .slice(-MAX_LOG_BYTES)
    .toWellFormed();
  return lines === '' ? text : `${text} Its last lines:\n${lines}`;
}

/** Control characters but the line feed and the tab, and the marks that turn text around. */
const UNSEEN = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * What a container wrote, as text that may be shown anywhere: whoever reads it on a terminal must
 * not have it obey an escape sequence, nor read it in another order than it stands in.
 */
export function plainText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(UNSEEN, (character) =>
      character === '\n' || character === '\t' ? character : '\ufffd',
    );
}

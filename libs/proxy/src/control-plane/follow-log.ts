import { setTimeout as sleep } from 'node:timers/promises';
import type { LogsQuery } from '@ephemera/contract';
import { ApiError, isDead } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { linesAfter, positionAfter } from '@ephemera/lifecycle';
import type { HostRpc, LogLine, LogPage, LogPosition } from '@ephemera/lifecycle';
import type { InstanceStore, LogArchive } from '@ephemera/store';

export interface LogPorts {
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly hostRpc: HostRpc;
  readonly logArchive: LogArchive;
}

/** How long to wait for more, ms: longer the longer a log is quiet. */
const INITIAL_PAUSE_MS = 100;
const MAX_PAUSE_MS = 1_000;

/**
 * The lines of an instance's log, a page at a time: from its host while it has a container, from
 * what was kept after its end. Nothing is read ahead of who takes it.
 * @throws ApiError host_unavailable
 */
export async function* followLog(
  ports: LogPorts,
  id: string,
  { follow, tail }: Pick<LogsQuery, 'follow' | 'tail'>,
  signal: AbortSignal,
): AsyncGenerator<readonly LogLine[]> {
  let place: LogPosition | undefined;
  let pause = INITIAL_PAUSE_MS;
  while (!signal.aborted) {
    const instance = await ports.instances.get(id);
    if (!instance) return;
    const { lines, more } = await readPage(ports, instance, place, tail);
    yield lines;
    place = positionAfter(place, lines);
    if (more) continue;
    if (!follow || isDead(instance.state)) return;
    pause = lines.length > 0 ? INITIAL_PAUSE_MS : Math.min(pause * 2, MAX_PAUSE_MS);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
}

async function readPage(
  { hostRpc, logArchive }: LogPorts,
  { id, host, state }: Instance,
  after: LogPosition | undefined,
  tail: number | undefined,
): Promise<LogPage> {
  if (host !== undefined && !isDead(state)) {
    const wanted = after ? { after } : { tail };
    const reply = await hostRpc.request(host, { op: 'logs', id, ...wanted });
    if (!reply || reply.kind === 'failed') throw new ApiError({ kind: 'host_unavailable' });
    if (reply.kind === 'done') return reply.value;
  }
  // No container yet, or no more: what it wrote last was kept before it was removed.
  const kept = (await logArchive.read(id)) ?? [];
  const last = tail === undefined ? kept : kept.slice(Math.max(0, kept.length - tail));
  return { lines: after ? linesAfter(after, kept) : last, more: false };
}

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

/** The pause between two reads, ms. It grows while the log has no new lines. */
const INITIAL_PAUSE_MS = 100;
const MAX_PAUSE_MS = 1_000;

/**
 * Yields the lines of an instance's log, one page at a time: from its host while it has a
 * container, then from the archive. A page is read only when the consumer asks for it.
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
  // The container does not exist yet or any more. Its last lines were archived before its removal.
  const kept = (await logArchive.read(id)) ?? [];
  const last = tail === undefined ? kept : kept.slice(Math.max(0, kept.length - tail));
  return { lines: after ? linesAfter(after, kept) : last, more: false };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { LogsQuery } from '@ephemera/contract';
import { FailureError, isDead } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { linesBehind, placeBehind } from '@ephemera/lifecycle';
import type { Asks, LogLine, LogPage, LogPlace } from '@ephemera/lifecycle';
import type { InstanceStore, KeptLogs } from '@ephemera/store';

export interface LogPorts {
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly asks: Asks;
  readonly keptLogs: KeptLogs;
}

/** How long to wait for more, ms: longer the longer a log is quiet. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 1_000;

/**
 * The lines of an instance's log, a page at a time: from its host while it has a container, from
 * what was kept after its end. Nothing is read ahead of who takes it.
 * @throws FailureError host_unavailable
 */
export async function* followLog(
  ports: LogPorts,
  id: string,
  { follow, tail }: Pick<LogsQuery, 'follow' | 'tail'>,
  signal: AbortSignal,
): AsyncGenerator<readonly LogLine[]> {
  let place: LogPlace | undefined;
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    const instance = await ports.instances.get(id);
    if (!instance) return;
    const { lines, more } = await readPage(ports, instance, place, tail);
    yield lines;
    place = placeBehind(place, lines);
    if (more) continue;
    if (!follow || isDead(instance.state)) return;
    pause = lines.length > 0 ? FIRST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
}

async function readPage(
  { asks, keptLogs }: LogPorts,
  { id, host, state }: Instance,
  after: LogPlace | undefined,
  tail: number | undefined,
): Promise<LogPage> {
  if (host !== undefined && !isDead(state)) {
    const wanted = after ? { after } : { tail };
    const reply = await asks.ask(host, { op: 'logs', id, ...wanted });
    if (!reply || reply.kind === 'failed') throw new FailureError({ kind: 'host_unavailable' });
    if (reply.kind === 'done') return reply.value;
  }
  // No container yet, or no more: what it wrote last was kept before it was removed.
  const kept = (await keptLogs.read(id)) ?? [];
  const last = tail === undefined ? kept : kept.slice(Math.max(0, kept.length - tail));
  return { lines: after ? linesBehind(after, kept) : last, more: false };
}

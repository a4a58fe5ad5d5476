import { setTimeout as sleep } from 'node:timers/promises';
import { createInterface } from 'node:readline';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, withDeadline } from './deadline.ts';
import { LABEL } from './labels.ts';

export interface Exit {
  readonly id: string;
  readonly containerId: string;
}

interface Listeners {
  readonly onExit: (exit: Exit) => void;
  /** The daemon answers: at the start, and whenever it has come back. */
  readonly onDaemon?: () => void;
}

interface DockerEvent {
  readonly time: number;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
}

/**
 * Tells of every container of this host that ends, within moments, until `signal` aborts. The
 * stream dies with the daemon: it is taken up again where it broke off. What is missed all the
 * same, reconciliation finds. `within`: how long the daemon has to begin its answer, ms.
 */
export async function watchExits(
  docker: Docker,
  scope: { namespace: string; host: string },
  { onExit, onDaemon }: Listeners,
  signal: AbortSignal,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<void> {
  let since = Math.floor(Date.now() / 1000);
  while (!signal.aborted) {
    try {
      const filters = {
        type: ['container' as const],
        event: ['die'],
        label: [`${LABEL.namespace}=${scope.namespace}`, `${LABEL.host}=${scope.host}`],
      };
      const from = since;
      const stream = await withDeadline('events', timeoutMs, (timeout) =>
        docker.getEvents({ since: from, filters, abortSignal: AbortSignal.any([signal, timeout]) }),
      );
      onDaemon?.();
      for await (const line of createInterface({ input: stream })) {
        const event = JSON.parse(line) as DockerEvent;
        since = event.time;
        const id = event.Actor.Attributes[LABEL.instance];
        if (id !== undefined) onExit({ id, containerId: event.Actor.ID });
      }
    } catch {
      // The daemon is away, or the stop has aborted the stream.
    }
    await sleep(500, undefined, { signal }).catch(() => undefined);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { createInterface } from 'node:readline';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';
import { LABEL } from './labels.ts';

export interface Exit {
  readonly id: string;
  readonly containerId: string;
}

interface Listeners {
  readonly onExit: (exit: Exit) => void;
  /** Called at the start and whenever the daemon is available again. */
  readonly onDaemon?: () => void;
  /** Called when the stream fails. It is opened again. */
  readonly onError?: (error: unknown) => void;
}

interface DockerEvent {
  readonly time: number;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
}

/**
 * Reports exits of this host's containers until `signal` aborts. The event stream ends with the
 * daemon, and is resumed at the last event. Reconciliation finds missed exits.
 * @param timeoutMs timeout for the start of the daemon's response
 */
export async function watchExits(
  docker: Docker,
  scope: { namespace: string; host: string },
  { onExit, onDaemon, onError }: Listeners,
  signal: AbortSignal,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<void> {
  let since = Math.floor(Date.now() / 1000);
  const isStopping = () => signal.aborted;
  while (!isStopping()) {
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
    } catch (error) {
      if (!isStopping()) onError?.(error);
    }
    await sleep(500, undefined, { signal }).catch(() => undefined);
  }
}

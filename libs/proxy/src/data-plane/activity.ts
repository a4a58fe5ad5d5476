import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ACTIVITY_PERIOD, type ReadyRoute } from '@ephemera/domain';
import type { Leases } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';

// The use of instances with an idle timeout: what counts as use, and its report to the store.

/** Receives the use of instances. */
export interface Activity {
  /** A request or a tunnel began. It counts as use until `closed` is called. */
  opened(id: string): void;
  closed(id: string): void;
  /** Something happened now that counts as use. */
  used(id: string): void;
}

/** Reports a request as use, by the rule of its template. Call it after its body began to flow. */
export function watchRequest(
  activity: Activity,
  id: string,
  route: ReadyRoute,
  req: IncomingMessage,
  res: ServerResponse,
): void {
  switch (route.activity) {
    case undefined:
      return;
    case 'connections':
      activity.opened(id);
      res.once('close', () => activity.closed(id));
      return;
    case 'client-bytes':
      activity.used(id);
      if (!req.complete) req.on('data', () => activity.used(id));
      return;
    case 'requests':
      res.once('finish', () => {
        if (res.statusCode < 300) activity.used(id);
      });
  }
}

/** Reports a tunnel as use, by the rule of its template. Call it after its socket began to flow. */
export function watchTunnel(
  activity: Activity,
  id: string,
  route: ReadyRoute,
  socket: Socket,
): void {
  switch (route.activity) {
    case undefined:
      return;
    case 'connections':
      activity.opened(id);
      socket.once('close', () => activity.closed(id));
      return;
    case 'client-bytes':
      activity.used(id);
      socket.on('data', () => activity.used(id));
      return;
    case 'requests':
      activity.used(id);
  }
}

/**
 * Collects the use of instances and writes it once per period, in one call whatever its amount. If
 * a write fails, the next one includes its instances.
 */
export class ActivityReport implements Activity {
  /** Open requests and tunnels by id. */
  readonly #open = new Map<string, number>();
  #used = new Set<string>();
  readonly #leases: Pick<Leases, 'touch'>;
  readonly #logger: Pick<Logger, 'warn'>;
  #timer: NodeJS.Timeout | undefined;

  constructor(leases: Pick<Leases, 'touch'>, logger: Pick<Logger, 'warn'>) {
    this.#leases = leases;
    this.#logger = logger;
  }

  start(): void {
    this.#timer = setInterval(() => void this.flush(), ACTIVITY_PERIOD);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  opened(id: string): void {
    this.#used.add(id);
    this.#open.set(id, (this.#open.get(id) ?? 0) + 1);
  }

  closed(id: string): void {
    this.#used.add(id);
    const left = (this.#open.get(id) ?? 1) - 1;
    if (left > 0) this.#open.set(id, left);
    else this.#open.delete(id);
  }

  used(id: string): void {
    this.#used.add(id);
  }

  /** Writes all use since the last flush, and everything that is open. */
  async flush(): Promise<void> {
    const used = this.#used;
    for (const id of this.#open.keys()) used.add(id);
    if (used.size === 0) return;
    this.#used = new Set();
    try {
      await this.#leases.touch([...used]);
    } catch (error) {
      for (const id of used) this.#used.add(id);
      this.#logger.warn({ err: error }, 'use of instances not recorded; it is retried');
    }
  }
}

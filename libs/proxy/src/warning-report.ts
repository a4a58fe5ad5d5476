import type { InstanceWarning } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { InstanceWarnings } from '@ephemera/store';

/** Between two writes of one kind for one instance, ms. Redis keeps a warning for an hour. */
const MIN_INTERVAL_MS = { upstream_failure: 60_000, missing_base_path: 1_800_000 } as const;
/** Pairs of an instance and a kind whose last write is remembered. */
const MAX_REMEMBERED = 10_000;

export interface WarningReportOptions {
  readonly warnings: Pick<InstanceWarnings, 'save'>;
  readonly logger: Pick<Logger, 'debug'>;
  /** Epoch ms of the store's clock. */
  readonly now: () => number;
  /** Monotonic ms. */
  readonly clock?: () => number;
}

/**
 * Writes warnings about instances to Redis: at most one in an interval for each instance and kind,
 * however many requests cause it. Call it only for instances whose route exists, so that unknown ids cost
 * nothing.
 */
export class WarningReport {
  readonly #options: WarningReportOptions;
  readonly #clock: () => number;
  /** When each pair was written last; in the order of the writes. */
  readonly #written = new Map<string, number>();

  constructor(options: WarningReportOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** Whether `save` would write now. */
  isDue(id: string, kind: InstanceWarning['kind']): boolean {
    const last = this.#written.get(`${kind}:${id}`);
    return last === undefined || this.#clock() - last >= MIN_INTERVAL_MS[kind];
  }

  /** Writes a warning if it is due. It does not wait and never throws: a warning only informs. */
  save(id: string, { kind, detail }: Omit<InstanceWarning, 'at'>): void {
    if (!this.isDue(id, kind)) return;
    const key = `${kind}:${id}`;
    this.#written.delete(key);
    this.#written.set(key, this.#clock());
    if (this.#written.size > MAX_REMEMBERED) {
      for (const oldest of this.#written.keys()) {
        this.#written.delete(oldest);
        break;
      }
    }
    const { warnings, logger, now } = this.#options;
    warnings.save(id, { kind, detail, at: now() }).catch((error: unknown) => {
      logger.debug({ err: error, id, kind }, 'warning about an instance not written');
    });
  }
}

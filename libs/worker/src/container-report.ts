import type { Logger } from '@ephemera/process';
import { DATASET_CHECK_INTERVAL_MS } from '@ephemera/store';
import type { Store } from '@ephemera/store';
import { MAX_RESTORE_DELAY_MS } from './limits.ts';

/** What a report of the containers of a host needs. */
export interface ContainerReportPorts {
  readonly host: string;
  readonly datasets: Store['datasets'];
  /** Registers the host. */
  readonly register: () => Promise<void>;
  /** Compares the containers with the store. Resolves to whether every instance was restored. */
  readonly restoreAll: () => Promise<boolean>;
  readonly logger: Pick<Logger, 'warn'>;
  /** Monotonic milliseconds. */
  readonly clock: () => number;
}

/**
 * Returns a function that is called every `DATASET_CHECK_INTERVAL_MS`. After a loss of all data,
 * proxies answer 503 for unknown ids until each living host has compared its containers. So it
 * registers the host and restores the instances at once, without the lock of the reconciliation.
 *
 * While an instance cannot be restored, or the report fails, each further attempt waits twice as long,
 * up to `MAX_RESTORE_DELAY_MS`. The first attempt of a new data set does not wait.
 */
export function containerReport(ports: ContainerReportPorts): () => Promise<void> {
  const { host, datasets, logger, clock } = ports;
  /** The data set with which this worker has compared its containers. */
  let compared: string | undefined;
  /** The data set in which this worker has registered the host. The first one is the worker's start. */
  let registered: string | undefined;
  let failed = { dataset: '', delay: 0, retryAt: 0 };

  return async () => {
    const dataset = await datasets.current();
    if (dataset === compared) return;
    const isRetry = dataset === failed.dataset;
    if (isRetry && clock() < failed.retryAt) return;
    let isReported = false;
    try {
      if (registered !== undefined && registered !== dataset) {
        const message =
          'Redis has lost its data; instances are being restored from their containers';
        if (!isRetry) logger.warn({ host }, message);
        await ports.register();
      }
      registered = dataset;
      if (!(await ports.restoreAll())) return;
      const present = await datasets.report(host, dataset);
      isReported = true;
      if (present === dataset) compared = dataset;
    } finally {
      if (!isReported) {
        const delay = isRetry ? failed.delay * 2 : DATASET_CHECK_INTERVAL_MS;
        const bounded = Math.min(delay, MAX_RESTORE_DELAY_MS);
        failed = { dataset, delay: bounded, retryAt: clock() + bounded };
      }
    }
  };
}

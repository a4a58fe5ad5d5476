import { readFileSync } from 'node:fs';
import * as useCases from '@ephemera/lifecycle';
import { RELEASE_TIMEOUT_MS } from '@ephemera/process';
import { WORKER_OPTIONS } from '@ephemera/queue';
import { HOST_ALIVE_TIMEOUT_MS } from '@ephemera/store';
import { expect, test } from 'vitest';
import * as worker from './limits.ts';

const { lockDuration: JOB_LOCK_MS, stalledInterval: STALLED_INTERVAL_MS } = WORKER_OPTIONS;
const { FINAL_CHECK_MS, START_POLL_INTERVAL_MS, SPAWN_JOB_GRACE_MS } = useCases;
const { REPAIR_TIMEOUT_MS, REPAIR_CONCURRENCY, MAX_REPAIRS_IN_FLIGHT } = useCases;
const { HOST_DEAD_AFTER_MS, DEAD_HOST_GRACE_MS } = useCases;
const limits = {
  ...worker,
  ...{ JOB_LOCK_MS, STALLED_INTERVAL_MS, RELEASE_TIMEOUT_MS, HOST_ALIVE_TIMEOUT_MS },
  ...{ FINAL_CHECK_MS, START_POLL_INTERVAL_MS, SPAWN_JOB_GRACE_MS },
  ...{ REPAIR_TIMEOUT_MS, REPAIR_CONCURRENCY, MAX_REPAIRS_IN_FLIGHT },
  ...{ HOST_DEAD_AFTER_MS, DEAD_HOST_GRACE_MS },
};

/** In each pair the first must be below the second; the text names the failure otherwise. */
const BELOW: readonly [keyof typeof limits, keyof typeof limits, string][] = [
  ['HOST_ALIVE_TIMEOUT_MS', 'HOST_DEAD_AFTER_MS', 'a host would be dead while it is alive'],
  ['HEARTBEAT_INTERVAL_MS', 'RECONCILE_INTERVAL_MS', 'a heartbeat would be older than a scan'],
  ['RECONCILE_INTERVAL_MS', 'RECONCILER_LOCK_MS', 'two workers of a host would scan at once'],
  ['LIST_TIMEOUT_MS', 'RECONCILE_INTERVAL_MS', 'a slow daemon would delay the next scan'],
  ['INSPECT_TIMEOUT_MS', 'LIST_TIMEOUT_MS', 'one silent container would fail a whole list'],
  ['REPAIR_TIMEOUT_MS', 'RECONCILE_INTERVAL_MS', 'one repair would fill a whole scan'],
  ['REPAIR_CONCURRENCY', 'MAX_REPAIRS_IN_FLIGHT', 'hanging repairs would stop all others'],
  ['SPAWN_JOB_GRACE_MS', 'RECONCILE_INTERVAL_MS', 'a lost spawn job would wait for two scans'],
  ['RECONCILE_INTERVAL_MS', 'DEAD_HOST_GRACE_MS', 'a living host would be taken for a dead one'],
  ['CHECK_TIMEOUT_MS', 'HEARTBEAT_INTERVAL_MS', 'readiness would change after the heartbeat'],
  ['DEFAULT_TIMEOUT_MS', 'START_TIMEOUT_MS', 'a start would have less time than a list'],
  ['START_TIMEOUT_MS', 'HELPER_ABANDONED_AFTER_MS', 'a helper would be removed during its start'],
  ['HELPER_TIMEOUT_MS', 'HELPER_ABANDONED_AFTER_MS', 'a running helper would be removed'],
  ['PULL_REPORT_INTERVAL_MS', 'PULL_EXTENSION_MS', 'the deadline would pass during a pull'],
  ['START_POLL_INTERVAL_MS', 'FINAL_CHECK_MS', 'the last check would come after the deadline'],
  ['STALLED_INTERVAL_MS', 'JOB_LOCK_MS', 'jobs of a dead worker would be found late'],
  ['JOB_LOCK_MS', 'RECONCILE_INTERVAL_MS', 'reconciliation would be faster than the queue'],
  ['NO_CAPACITY_DELAY_MS', 'OTHER_HOST_DELAY_MS', 'an assigned job would be retried first'],
  ['FINISH_TIMEOUT_MS', 'RELEASE_TIMEOUT_MS', 'jobs would not be requeued on shutdown'],
  ['READ_TIMEOUT_MS', 'ABANDONED_AFTER_MS', 'a live reader would lose its events'],
  ['ABANDONED_AFTER_MS', 'READER_TIMEOUT_MS', 'a reader would be forgotten before its events'],
  ['DELIVERY_TIMEOUT_MS', 'RELEASE_TIMEOUT_MS', 'a delivery would outlive the shutdown'],
];

test.each(BELOW)('%s is below %s, or %s', (lower, upper) => {
  expect(limits[lower]).toBeLessThan(limits[upper]);
});

test('a host stays alive when one heartbeat fails', () => {
  expect(2 * limits.HEARTBEAT_INTERVAL_MS).toBeLessThan(HOST_ALIVE_TIMEOUT_MS);
});

test('running jobs are requeued within the grace period of the container', () => {
  const compose = readFileSync(new URL('../../../docker-compose.yml', import.meta.url), 'utf8');
  const grace = /\n {2}worker:\n[^]*?stop_grace_period: (\d+)s/.exec(compose)?.[1];
  const { FINISH_TIMEOUT_MS } = limits;
  expect(FINISH_TIMEOUT_MS + RELEASE_TIMEOUT_MS).toBeLessThan(Number(grace) * 1000);
});

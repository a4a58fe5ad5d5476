import { readFileSync } from 'node:fs';
import { RELEASE_TIMEOUT_MS } from '@ephemera/process';
import { expect, test } from 'vitest';
import * as dataPlane from './data-plane/limits.ts';
import * as proxy from './limits.ts';

const limits = { ...dataPlane, ...proxy };

/** In each pair the first must be below the second; the text names the failure otherwise. */
const BELOW: readonly [keyof typeof limits, keyof typeof limits, string][] = [
  ['CLAIM_CONNECT_TIMEOUT_MS', 'CONNECT_TIMEOUT_MS', 'a dead warm instance would delay a visitor'],
  ['QUEUE_POLL_MS', 'STEP_RESEND_INTERVAL_MS', 'a place in the queue would be shown late'],
  ['STEP_RESEND_INTERVAL_MS', 'CLIENT_TIMEOUT_MS', 'a quiet start would lose its stream'],
  ['EVENT_HEARTBEAT_INTERVAL_MS', 'CLIENT_TIMEOUT_MS', 'a quiet stream would be cut'],
  ['EVENT_RETRY_MS', 'EVENT_HEARTBEAT_INTERVAL_MS', 'a lost stream would look like a quiet one'],
  ['TOKEN_CHECK_INTERVAL_MS', 'EVENT_HEARTBEAT_INTERVAL_MS', 'a revoked token would read events'],
  ['READINESS_TIMEOUT_MS', 'START_WAIT_MS', 'a readiness check would outlive requests'],
  ['DRAIN_POLL_MS', 'CLOSE_TIMEOUT_MS', 'the public port would not close in time'],
];

test.each(BELOW)('%s is below %s, or %s', (lower, upper) => {
  expect(limits[lower]).toBeLessThan(limits[upper]);
});

// The default of EPHEMERA_DRAIN is in apps/proxy. Docker kills a process after its grace period.
test('the drain of a replica ends within the grace period of its container', () => {
  const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
  const service = /\n {2}proxy:\n([^]*?)\n {2}\w+:\n/.exec(read('docker-compose.yml'))?.[1] ?? '';
  const seconds = (found: RegExpExecArray | null) => Number(found?.[1]) * 1000;
  const grace = seconds(/stop_grace_period: (\d+)s/.exec(service));
  const unready = seconds(/EPHEMERA_UNREADY: (\d+)s/.exec(service));
  const drain = seconds(
    /EPHEMERA_DRAIN: duration\('(\d+)s'\)/.exec(read('apps/proxy/src/config.ts')),
  );
  const closes = unready + drain + limits.CLOSE_TIMEOUT_MS;
  expect(closes).toBeLessThan(grace);
  expect(closes).toBeLessThan(RELEASE_TIMEOUT_MS);
});

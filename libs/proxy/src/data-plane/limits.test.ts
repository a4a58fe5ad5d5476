import { expect, test } from 'vitest';
import * as limits from './limits.ts';

/** In each pair the first must be below the second; the text names the failure otherwise. */
const BELOW: readonly [keyof typeof limits, keyof typeof limits, string][] = [
  ['SYN_RETRANSMIT_MS', 'CONNECT_TIMEOUT_MS', 'one lost SYN would fail a request'],
  ['CONNECT_TIMEOUT_MS', 'RESPONSE_TIMEOUT_MS', 'a dead address would be reported as a timeout'],
  ['CONTINUE_TIMEOUT_MS', 'RESPONSE_TIMEOUT_MS', 'an upload would never begin'],
  ['UPSTREAM_IDLE_TIMEOUT_MS', 'COMMON_KEEP_ALIVE_MS', 'instances would close reused connections'],
  ['POOL_SWEEP_INTERVAL_MS', 'UPSTREAM_IDLE_TIMEOUT_MS', 'idle connections would be kept too long'],
  ['POOL_SWEEP_INTERVAL_MS', 'IDLE_MARGIN_MS', 'the margin would end between two sweeps'],
  ['POOL_SWEEP_INTERVAL_MS', 'CONNECT_TIMEOUT_MS', 'the coarse clock would miss a timeout'],
  ['HEADERS_CHECK_INTERVAL_MS', 'HEADERS_TIMEOUT_MS', 'slow heads would be cut late'],
  ['HEADERS_TIMEOUT_MS', 'CLIENT_KEEP_ALIVE_MS', 'idle connections would look like slow heads'],
  ['TUNNEL_PROBE_AFTER_MS', 'CLIENT_KEEP_ALIVE_MS', 'balancers would cut quiet tunnels first'],
  ['MAX_TEXT_BODY_BYTES', 'READ_BUFFER_BYTES', 'no whole response could arrive in one read'],
  ['UNSCHEDULED_CHUNK_BYTES', 'READ_BUFFER_BYTES', 'every chunk would wait for the scheduler'],
  ['MAX_CHUNK_EXTENSION_BYTES', 'MAX_RESPONSE_HEAD_BYTES', 'extensions would exceed a head'],
  ['DRAIN_POLL_MS', 'POOL_SWEEP_INTERVAL_MS', 'a drain would notice its end late'],
];

test.each(BELOW)('%s is below %s, or %s', (lower, upper) => {
  expect(limits[lower]).toBeLessThan(limits[upper]);
});

test('a sweep closes an idle connection before the instance does', () => {
  expect(limits.UPSTREAM_IDLE_TIMEOUT_MS + limits.POOL_SWEEP_INTERVAL_MS).toBeLessThan(
    limits.COMMON_KEEP_ALIVE_MS,
  );
});

test('a chunk size and a content length are exact as numbers', () => {
  expect(16 ** limits.MAX_CHUNK_SIZE_DIGITS - 1).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
  expect(10 ** limits.MAX_LENGTH_DIGITS - 1).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
});

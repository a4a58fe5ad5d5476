import { expect, test } from 'vitest';
import { maxConnectionsOf } from './connection-limits.ts';

test.each([
  // Two descriptors per client, after the reserve.
  [20_000, 9_744],
  [4_096, 1_792],
  [1_024, 384],
  [256, 96],
  [1, 1],
  [1_048_576, 50_000],
  [Infinity, 50_000],
])('of %s descriptors clients may have %s connections', (descriptors, connections) => {
  expect(maxConnectionsOf(descriptors)).toBe(connections);
});

import { expect, test } from 'vitest';
import { earlyResponses, isEarlyWell } from '../src/early/early-responses.ts';

// A proxy that closes a connection with unread input resets it, and the reset discards the response
// that the client has not read yet.
test(
  'a client that still uploads receives the response, as often as through nginx and haproxy',
  { timeout: 240_000 },
  async () => {
    const results = await earlyResponses(20, 'where one is lost');
    expect(results.filter((result) => !isEarlyWell(result))).toEqual([]);
    expect(results.length).toBeGreaterThanOrEqual(40);
  },
);

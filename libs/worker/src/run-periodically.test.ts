import type { Logger } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { runPeriodically } from './run-periodically.ts';

function recording() {
  const warnings: unknown[] = [];
  return {
    warnings,
    logger: { warn: (fields: unknown) => warnings.push(fields) } as unknown as Logger,
  };
}

test('a failed run is logged, and the next one follows', async () => {
  const { logger, warnings } = recording();
  const stop = new AbortController();
  let runs = 0;
  const work = () => (++runs === 1 ? Promise.reject(new Error('broken')) : Promise.resolve());
  const ended = runPeriodically('work', 5, work, { signal: stop.signal, logger });
  await waitFor('three runs', () => runs >= 3);
  stop.abort();
  await ended;
  expect(warnings).toMatchObject([{ what: 'work', err: { message: 'broken' } }]);
});

test('stops immediately between two runs, and waits for a run in progress', async () => {
  const { logger } = recording();
  const stop = new AbortController();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let over = false;
  const ended = runPeriodically('work', 3_600_000, () => promise, {
    signal: stop.signal,
    logger,
  }).then(() => {
    over = true;
  });
  stop.abort();
  await Promise.resolve();
  expect(over).toBe(false);
  resolve(undefined);
  await ended;
});

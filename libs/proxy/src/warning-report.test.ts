import { expect, test } from 'vitest';
import type { InstanceWarning } from '@ephemera/domain';
import { WarningReport } from './warning-report.ts';

function fixture() {
  const saved: [string, InstanceWarning][] = [];
  let time = 0;
  let failure: Error | undefined;
  const logged: unknown[] = [];
  const report = new WarningReport({
    warnings: {
      save: (id, warning) => {
        saved.push([id, warning]);
        return failure ? Promise.reject(failure) : Promise.resolve();
      },
    },
    logger: { debug: (...fields: unknown[]) => void logged.push(fields) },
    now: () => 1_000 + time,
    clock: () => time,
  });
  return {
    saved,
    logged,
    report,
    pass: (ms: number) => void (time += ms),
    fail: (error: Error) => void (failure = error),
  };
}

test('a storm of failures is one write a minute for each instance and kind', () => {
  const { report, saved, pass } = fixture();
  for (let i = 0; i < 1_000; i++) {
    report.save('a', { kind: 'upstream_failure', detail: `failure ${i}` });
    report.save('b', { kind: 'upstream_failure', detail: 'other' });
    report.save('a', { kind: 'missing_base_path', detail: 'path' });
  }
  expect(saved.map(([id, { kind, detail }]) => [id, kind, detail])).toEqual([
    ['a', 'upstream_failure', 'failure 0'],
    ['b', 'upstream_failure', 'other'],
    ['a', 'missing_base_path', 'path'],
  ]);
  pass(60_000);
  report.save('a', { kind: 'upstream_failure', detail: 'later' });
  expect(saved.at(-1)).toEqual(['a', { kind: 'upstream_failure', detail: 'later', at: 61_000 }]);
});

test('an unavailable Redis is logged, and harms nothing else', async () => {
  const { report, fail, logged } = fixture();
  const error = new Error('no Redis');
  fail(error);
  report.save('a', { kind: 'upstream_failure', detail: 'x' });
  await Promise.resolve();
  await Promise.resolve();
  expect(logged).toMatchObject([[{ err: error, id: 'a' }, expect.any(String)]]);
});

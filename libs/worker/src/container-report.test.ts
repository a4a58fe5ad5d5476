import { manualClock } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { containerReport } from './container-report.ts';

const HOUR_MS = 3_600_000;

/** Runs the report every 2 s, as the worker does. */
function fixture(restoreAll: () => Promise<boolean>) {
  const { now, advance } = manualClock();
  const state = { dataset: '1', restores: 0, registrations: 0, reports: [] as string[] };
  const warnings: unknown[] = [];
  const register = { run: () => Promise.resolve() };
  const datasetReport = { run: () => Promise.resolve() };
  const report = containerReport({
    host: 'a',
    datasets: {
      current: () => Promise.resolve(state.dataset),
      report: async (_host, dataset) => {
        state.reports.push(dataset);
        await datasetReport.run();
        return state.dataset;
      },
    },
    register: () => {
      state.registrations++;
      return register.run();
    },
    restoreAll: () => {
      state.restores++;
      return restoreAll();
    },
    logger: { warn: (...line: unknown[]) => void warnings.push(line) },
    clock: now,
  });
  return {
    state,
    warnings,
    register,
    datasetReport,
    report,
    async runFor(ms: number) {
      for (let passed = 0; passed < ms; passed += 2_000) {
        await report().catch(() => undefined);
        advance(2_000);
      }
    },
  };
}

test('reports each data set once', async () => {
  const { state, warnings, runFor } = fixture(() => Promise.resolve(true));
  await runFor(20_000);
  expect(state).toMatchObject({ reports: ['1'], restores: 1, registrations: 0 });
  state.dataset = '2';
  await runFor(20_000);
  expect(state).toMatchObject({ reports: ['1', '2'], restores: 2, registrations: 1 });
  expect(warnings).toHaveLength(1);
});

test.each([
  ['is not complete', () => Promise.resolve(false)],
  ['fails', () => Promise.reject(new Error('the daemon does not answer'))],
])('backs off while the restoration %s, until the next loss', async (_what, restoreAll) => {
  const { state, warnings, runFor } = fixture(restoreAll);
  await runFor(10_000);
  expect(state).toMatchObject({ restores: 3, registrations: 0 });
  await runFor(HOUR_MS);
  expect(state.restores).toBeGreaterThan(HOUR_MS / 60_000 - 2);
  expect(state.restores).toBeLessThan(HOUR_MS / 60_000 + 10);
  expect(state.reports).toEqual([]);
  const before = state.restores;
  state.dataset = '2';
  await runFor(4_000);
  expect(state).toMatchObject({ restores: before + 2, registrations: 1 });
  expect(warnings).toHaveLength(1);
});

test('backs off while the report fails', async () => {
  const { state, datasetReport, runFor } = fixture(() => Promise.resolve(true));
  datasetReport.run = () => Promise.reject(new Error('Redis does not answer'));
  await runFor(10_000);
  expect(state).toMatchObject({ reports: ['1', '1', '1'], restores: 3 });
  datasetReport.run = () => Promise.resolve();
  await runFor(10_000);
  expect(state).toMatchObject({ reports: ['1', '1', '1', '1'], restores: 4 });
});

test('registers the host again until that has succeeded', async () => {
  let isPossible = true;
  const { state, warnings, runFor, register } = fixture(() => Promise.resolve(true));
  await runFor(4_000);
  register.run = () => (isPossible ? Promise.resolve() : Promise.reject(new Error('no daemon')));
  isPossible = false;
  state.dataset = '2';
  await runFor(10_000);
  expect(state.reports).toEqual(['1']);
  isPossible = true;
  await runFor(10_000);
  expect(state.reports).toEqual(['1', '2']);
  expect(warnings).toHaveLength(1);
});

test('reports as soon as a later attempt has restored everything', async () => {
  let isPossible = false;
  const { state, runFor } = fixture(() => Promise.resolve(isPossible));
  await runFor(60_000);
  isPossible = true;
  await runFor(62_000);
  expect(state.reports).toEqual(['1']);
});

test('compares again where Redis lost its data during the restoration', async () => {
  const { state, report } = fixture(() => {
    state.dataset = '2';
    return Promise.resolve(true);
  });
  await report();
  await report();
  expect(state).toMatchObject({ reports: ['1', '2'], restores: 2 });
});

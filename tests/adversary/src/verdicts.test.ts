import { expect, test } from 'vitest';
import type { ChurnResult } from './churn/churn.ts';
import type { ContainerChurnResult } from './containers/container-churn.ts';
import type { RestartResult } from './restart/rolling-restart.ts';
import { isChurnWell, isContainersWell, isFencesWell, isRestartWell } from './verdicts.ts';

// A run that shows less than it should must fail.

const churned: ChurnResult = {
  answers: 100,
  wrongAnswers: 0,
  strays: [],
  requestsArrived: 100,
  instances: 9,
  refused: {},
  disturbances: {},
  seconds: 1,
};
const wrong = { ...churned, wrongAnswers: 1 };

test('a churn fails with too few responses, or a wrong one', () => {
  expect(isChurnWell(churned, 100)).toBe(true);
  expect(isChurnWell(churned, 101)).toBe(false);
  expect(isChurnWell(wrong, 100)).toBe(false);
});

test('the fences fail with a wrong response with all of them, or none without them', () => {
  const rows = (...all: [string, ChurnResult][]) => isFencesWell(new Map(all));
  const cutOff = 'nothing, one replica without Redis';
  expect(rows(['nothing', churned], ['push', wrong], ['all', wrong], [cutOff, churned])).toBe(true);
  expect(rows(['nothing', wrong], ['all', wrong])).toBe(false);
  expect(rows(['nothing', churned], ['all', wrong], [cutOff, wrong])).toBe(false);
  expect(rows(['nothing', { ...churned, answers: 0 }], ['all', wrong])).toBe(false);
  expect(rows(['nothing', churned], ['all', churned])).toBe(false);
});

test('containers fail with too few responses, without reused addresses, or without errors when unfenced', () => {
  const result: ContainerChurnResult = {
    ...churned,
    strays: 0,
    reuses: 1,
    addresses: 1,
    reusedAfter: { least: 1, median: 1 },
    notStarted: 0,
  };
  const caught = { wrongAnswers: 1 };
  expect(isContainersWell(result, caught, 100)).toBe(true);
  expect(isContainersWell(result, caught, 101)).toBe(false);
  expect(isContainersWell({ ...result, reuses: 0 }, caught, 100)).toBe(false);
  expect(isContainersWell({ ...result, strays: 1 }, caught, 100)).toBe(false);
  expect(isContainersWell(result, { wrongAnswers: 0 }, 100)).toBe(false);
});

test('a rolling restart fails with a failed request, a WebSocket cut early, or a bad exit code', () => {
  const result: RestartResult = {
    restarts: 2,
    sent: 100,
    failed: {},
    p50: 1,
    p99: 1,
    tunnelsDrained: 2,
    exitCodes: [0, 0],
  };
  expect(isRestartWell(result)).toBe(true);
  expect(isRestartWell({ ...result, tunnelsDrained: 1 })).toBe(false);
  expect(isRestartWell({ ...result, failed: { ECONNRESET: 1 } })).toBe(false);
  expect(isRestartWell({ ...result, exitCodes: [0, 'SIGKILL'] })).toBe(false);
});

import { expect, test } from 'vitest';

import { add } from './sum-reports.mjs';

test('tests count, and so does a file that fails before its tests are collected', () => {
  const sums = { passed: 2, failed: 0, skipped: 0, faults: [] };
  add(sums, 'store', {
    numPassedTests: 1,
    numPendingTests: 1,
    numTodoTests: 0,
    testResults: [
      {
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'works' },
          { status: 'failed', fullName: 'breaks' },
          { status: 'skipped', fullName: 'later' },
        ],
      },
      {
        status: 'failed',
        assertionResults: [],
        message: 'Cannot find module x',
        name: 'x.test.ts',
      },
      { status: 'passed', assertionResults: [], message: '', name: 'empty.test.ts' },
    ],
  });
  expect(sums).toEqual({
    passed: 3,
    failed: 2,
    skipped: 1,
    faults: ['store: breaks', 'store: Cannot find module x'],
  });
});

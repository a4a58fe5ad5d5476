import { expect, test } from 'vitest';
import { readProfile } from './cpu-profile.ts';

const node = (id: number, functionName: string, url = '') => ({
  id,
  callFrame: { functionName, url, lineNumber: 6 },
});

test('counts self time only within the window, and no idle time', () => {
  const profile = {
    nodes: [
      node(1, '(idle)'),
      node(2, 'send', 'file:///somewhere/libs/proxy/src/data-plane/proxied-request.ts'),
      node(3, 'writev'),
      node(4, 'emit', 'node:events'),
    ],
    startTime: 1_000,
    samples: [2, 1, 2, 3, 3, 4],
    timeDeltas: [100, 100, 100, 200, 100, 5_000],
  };
  expect(readProfile(profile, [1_150, 2_000])).toEqual({
    areas: [
      ['[native]', 0.75],
      ['[libs/proxy data-plane]', 0.25],
    ],
    functions: [
      ['writev', 0.75],
      ['send libs/proxy/src/data-plane/proxied-request.ts:7', 0.25],
    ],
  });
});

import { expect, test } from 'vitest';

import { createTroubleFilter } from './trouble.ts';

test('warnings and errors are shown with their cause, all else is not', () => {
  const trouble = createTroubleFilter();
  expect(trouble('{"level":"info","msg":"request"}')).toBeUndefined();
  expect(trouble('at Module._load (node:internal)')).toBeUndefined();
  expect(trouble('{"level":"error", broken')).toBeUndefined();
  expect(trouble('{"level":"warn","msg":"redis fault","err":{"message":"ECONNREFUSED"}}')).toBe(
    'redis fault: ECONNREFUSED',
  );
  const failed = {
    level: 'warn',
    msg: 'no rules',
    err: { message: 'set -e\niptables\nroot only\n' },
  };
  expect(trouble(JSON.stringify(failed))).toBe('no rules: root only');
});

test('the same news is told again only after half a minute', () => {
  let now = 0;
  const trouble = createTroubleFilter(() => now);
  const line = '{"level":"error","msg":"redis fault"}';
  expect(trouble(line)).toBe('redis fault');
  now = 29_000;
  expect(trouble(line)).toBeUndefined();
  now = 30_000;
  expect(trouble(line)).toBe('redis fault');
});

import { expect, test } from 'vitest';

import { createErrorLineFilter } from './error-lines.ts';

test('only warnings and errors are shown, with their cause', () => {
  const errorLines = createErrorLineFilter();
  expect(errorLines('{"level":"info","msg":"request"}')).toBeUndefined();
  expect(errorLines('at Module._load (node:internal)')).toBeUndefined();
  expect(errorLines('{"level":"error", broken')).toBeUndefined();
  expect(errorLines('{"level":"warn","msg":"redis fault","err":{"message":"ECONNREFUSED"}}')).toBe(
    'redis fault: ECONNREFUSED',
  );
  const failed = {
    level: 'warn',
    msg: 'no rules',
    err: { message: 'set -e\niptables\nroot only\n' },
  };
  expect(errorLines(JSON.stringify(failed))).toBe('no rules: root only');
});

test('errors of the configuration file are shown with field and reason, once for all processes', () => {
  const faults = [
    { path: 'templates.demo.prot', line: 3, detail: 'unknown field' },
    { path: '', detail: 'cannot be read (ENOENT)' },
  ];
  const msg = 'configuration not reloaded, keeping the previous one';
  const line = JSON.stringify({ level: 'error', msg, path: '/etc/ephemera.yml', faults });
  const [proxy, worker] = [createErrorLineFilter(), createErrorLineFilter()];
  expect(proxy(line)).toBe(`${msg}: /etc/ephemera.yml
      templates.demo.prot: unknown field (line 3)
      (whole): cannot be read (ENOENT)`);
  expect(worker(line)).toBeUndefined();
});

test('the same message is shown again only after half a minute', () => {
  let now = 0;
  const errorLines = createErrorLineFilter(() => now);
  const line = '{"level":"error","msg":"redis fault"}';
  expect(errorLines(line)).toBe('redis fault');
  now = 29_000;
  expect(errorLines(line)).toBeUndefined();
  now = 30_000;
  expect(errorLines(line)).toBe('redis fault');
});

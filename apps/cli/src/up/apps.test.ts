import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { readConfig } from '../config.ts';
import { planApps } from './apps.ts';

function plan(environment: NodeJS.ProcessEnv) {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-apps-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const config = { ...readConfig(environment), stateFolder: folder };
  const ports = { public: 1, dashboard: 2, proxies: [3, 4], workers: [5] };
  const services = { dockerHost: 'unix:///x', redisUrl: 'redis://x', token: 'token', firewall: {} };
  const make = () => {
    const { workers, front } = planApps(config, ports, services);
    return [...workers, ...front].map(({ name, environment: made }) => [
      name,
      made['EPHEMERA_SIGNING_KEYS'] ?? made['EPHEMERA_SIGNING_KEYS_FILE'],
    ]);
  };
  return { folder, make };
}

test('proxies and workers share a generated signing key, which later starts use again', () => {
  const { folder, make } = plan({});
  const file = join(folder, 'signing-keys');
  const expected = [
    ['worker', file],
    ['proxy', file],
    ['proxy 2', file],
    ['dashboard', undefined],
  ];
  expect(make()).toEqual(expected);
  const key = readFileSync(file, 'utf8');
  expect(key.trim()).toMatch(/^[\w-]{43}$/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(make()).toEqual(expected);
  expect(readFileSync(file, 'utf8')).toBe(key);
});

test('no key is generated for a configured Redis, which other machines may use', () => {
  const { folder, make } = plan({ EPHEMERA_REDIS_URL: 'redis://10.0.0.1' });
  expect(new Set(make().map(([, keys]) => keys))).toEqual(new Set([undefined]));
  expect(() => statSync(join(folder, 'signing-keys'))).toThrow('ENOENT');
});

test('configured signing keys are used as they are', () => {
  const { folder, make } = plan({ EPHEMERA_SIGNING_KEYS: 'k'.repeat(32) });
  expect(new Set(make().map(([, keys]) => keys))).toEqual(new Set(['k'.repeat(32)]));
  expect(() => statSync(join(folder, 'signing-keys'))).toThrow('ENOENT');
});

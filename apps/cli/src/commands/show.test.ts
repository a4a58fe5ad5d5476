import type { InstanceResource } from '@ephemera/contract';
import { expect, test } from 'vitest';

import { showOne, showTable } from './show.ts';

const instance: InstanceResource = {
  id: 'abc',
  template: 'demo',
  status: { state: 'ready', lastTransitionAt: '2026-01-01T00:00:01.000Z' },
  url: 'http://localhost:8080/demo/abc/',
  baseUrl: 'http://localhost:8080/demo/abc/',
  ports: { web: { port: 80, url: 'http://localhost:8080/demo/abc/' } },
  timeout: 90,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: '2026-01-01T00:00:01.000Z',
  expiresAt: '2026-01-01T00:01:31.000Z',
  maxExpiresAt: '2026-01-01T00:01:31.000Z',
  metadata: {},
};
const now = Date.parse('2026-01-01T00:00:30.000Z');

test('a table lists the oldest first, with aligned columns', () => {
  const younger = {
    ...instance,
    id: 'longer',
    createdAt: '2026-01-01T00:00:09.000Z',
    status: { ...instance.status, state: 'starting' },
  };
  expect(showTable([younger, instance], now)).toBe(
    [
      'ID      TEMPLATE  STATE     LEFT  URL',
      'abc     demo      ready     1m1s  http://localhost:8080/demo/abc/',
      'longer  demo      starting  -     http://localhost:8080/demo/abc/',
    ].join('\n'),
  );
});

test('a warning says what happened and when', () => {
  const at = '2026-01-01T00:00:20.000Z';
  const warnings = [{ kind: 'upstream_failure' as const, detail: 'Two lengths.', at }];
  expect(showOne({ ...instance, warnings }, now)).toMatch(
    /\nwarning: +upstream_failure at 2026-01-01T00:00:20\.000Z: Two lengths\.$/,
  );
  expect(showOne(instance, now)).not.toContain('warning');
});

test('a landing address and further ports are shown with the base address', () => {
  expect(showOne(instance, now)).not.toMatch(/^(?:base|port):/m);
  const ports = {
    ...instance.ports,
    api: { port: 8000, url: 'http://localhost:8080/demo/abc:api/' },
  };
  const text = showOne({ ...instance, ports, url: `${instance.baseUrl}lab` }, now);
  expect(text).toMatch(/^url: +http:\/\/localhost:8080\/demo\/abc\/lab$/m);
  expect(text).toMatch(/^base: +http:\/\/localhost:8080\/demo\/abc\/$/m);
  expect(text).toMatch(/^port: +api http:\/\/localhost:8080\/demo\/abc:api\/$/m);
});

test('a dead instance shows its reason', () => {
  const status = { ...instance.status, state: 'gone', reason: 'ttl' as const };
  expect(showOne({ ...instance, status }, now)).toContain('state:    gone (ttl)');
});

import type { Instance } from '@ephemera/domain';
import { expect, test } from 'vitest';
import { instanceSchema, renewedSchema, toRenewed, toResource } from './instance-resource.ts';

const AT = Date.UTC(2030, 0, 31, 12);

const instance: Instance = {
  id: 'a'.repeat(26),
  generation: 7,
  supersedes: undefined,
  template: {
    name: 'demo',
    ports: { web: 80 },
    env: { DB_PASSWORD: 'secret' },
  } as unknown as Instance['template'],
  state: 'ready',
  reason: undefined,
  message: undefined,
  lastTransitionAt: AT + 1_500,
  host: 'host-1',
  address: '10.231.1.7',
  timeout: 90_000,
  createdAt: AT,
  startedAt: AT + 1_500,
  expiresAt: AT + 91_500,
  maxExpiresAt: AT + 7_200_000,
  url: 'http://127.0.0.1:8080/demo/a/',
  env: { API_KEY: 'secret' },
  metadata: { user: 'ann' },
};

test('contains seconds and RFC 3339 times, as in the schema', () => {
  const shown: unknown = JSON.parse(JSON.stringify(toResource(instance)));
  expect(shown).toEqual({
    id: instance.id,
    template: 'demo',
    status: { state: 'ready', lastTransitionAt: '2030-01-31T12:00:01.500Z' },
    url: 'http://127.0.0.1:8080/demo/a/',
    baseUrl: 'http://127.0.0.1:8080/demo/a/',
    ports: { web: { port: 80, url: 'http://127.0.0.1:8080/demo/a/' } },
    timeout: 90,
    createdAt: '2030-01-31T12:00:00.000Z',
    startedAt: '2030-01-31T12:00:01.500Z',
    expiresAt: '2030-01-31T12:01:31.500Z',
    maxExpiresAt: '2030-01-31T14:00:00.000Z',
    metadata: { user: 'ann' },
  });
  expect(instanceSchema.parse(shown)).toEqual(shown);
});

test('omits env, address, host and generation', () => {
  const shown = JSON.stringify(toResource(instance));
  for (const hidden of ['secret', '10.231.1.7', 'host-1', 'generation']) {
    expect(shown).not.toContain(hidden);
  }
});

test('contains the reason and message of a failed instance', () => {
  const ended = { ...instance, state: 'failed', reason: 'start_failed', message: 'No such image.' };
  expect(toResource(ended as Instance).status).toMatchObject({
    state: 'failed',
    reason: 'start_failed',
    message: 'No such image.',
  });
});

test.each([
  ['extended', AT + 90_000, false],
  ['unchanged', instance.expiresAt, false],
  ['shortened', AT + 99_000, false],
] as const)('a renewal that left the deadline %s says so', (outcome, before, isAtMaximum) => {
  const shown: unknown = JSON.parse(JSON.stringify(toRenewed(instance, before)));
  const previousExpiresAt = new Date(before).toISOString();
  expect(renewedSchema.parse(shown)).toMatchObject({
    expiresAt: '2030-01-31T12:01:31.500Z',
    renewal: { outcome, previousExpiresAt, isAtMaximum },
  });
});

test('a renewal says that the deadline is at the maximum', () => {
  const last = { ...instance, maxExpiresAt: instance.expiresAt };
  expect(toRenewed(last, last.expiresAt).renewal).toMatchObject({ isAtMaximum: true });
});

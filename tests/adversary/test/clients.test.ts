import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  CLIENTS,
  type ClientOutcome,
  type ClientTestbed,
  CURL,
  startClientTestbed,
} from '../src/differential/clients/clients.ts';

let testbed: ClientTestbed;
beforeAll(async () => {
  testbed = await startClientTestbed();
});
afterAll(async () => {
  await testbed.stop();
});

const failed = (outcomes: readonly ClientOutcome[]) =>
  outcomes.filter(({ target, outcome }) => !/^(?:nginx|haproxy)$/.test(target) && outcome !== 'ok');
const namesAt = (outcomes: readonly ClientOutcome[], wanted: string) =>
  outcomes.filter(({ target }) => target === wanted).map(({ name }) => name);

test.each(CLIENTS.map((client) => [client.name, client] as const))(
  '%s: each request succeeds as it does through nginx and haproxy',
  { timeout: 120_000 },
  async (_name, client) => {
    const outcomes = await testbed.run(client);
    expect(failed(outcomes)).toEqual([]);
    // A client that stops early has not reported the rest.
    const names = namesAt(outcomes, 'haproxy');
    expect(names.length).toBeGreaterThan(5);
    expect(namesAt(outcomes, 'ephemera, path form')).toEqual(names);
    expect(namesAt(outcomes, 'nginx')).toEqual(names);
  },
);

test('curl: each request succeeds', { timeout: 120_000 }, async () => {
  const outcomes = await testbed.runCurl();
  expect(failed(outcomes)).toEqual([]);
  expect(namesAt(outcomes, 'ephemera, host form')).toEqual(Object.keys(CURL));
});

import { keysOf, redisHosts } from '@ephemera/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BEARER, type OpenPorts, openPorts } from './open-ports.ts';

let ports: OpenPorts;
beforeAll(async () => {
  ports = await openPorts('templates: { demo: { image: ephemera/demo, port: 8080 } }');
});
afterAll(() => ports.stop());

const send = (method: string, path: string, body?: object) =>
  fetch(`${ports.adminUrl}/v1/hosts${path}`, {
    method,
    headers: { ...BEARER, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
const read = async (path: string) => (await send('GET', path)).json();

test('a host is listed with its capacity, cordoned, drained and used again', async () => {
  const hosts = redisHosts(ports.redis, keysOf('ports'));
  await hosts.setCapacity('h1', { instances: 4, memory: 2 ** 30, cpus: 1.5 });
  await hosts.heartbeat('h1', Date.now());
  await hosts.heartbeat('h0', Date.now() - 60_000);
  const { items } = (await read('')) as { items: { name: string; alive: boolean }[] };
  expect(items.map(({ name, alive }) => [name, alive])).toEqual([
    ['h0', false],
    ['h1', true],
  ]);
  expect(await read('/h1')).toMatchObject({
    name: 'h1',
    instances: 0,
    capacity: { instances: 4, memory: 2 ** 30, cpus: 1.5 },
    used: { instances: 0, memory: 0, cpus: 0 },
  });
  expect(await read('/h1')).not.toHaveProperty('cordon');

  const cordoned = await send('POST', '/h1/cordon');
  expect(cordoned.status).toBe(200);
  expect(((await cordoned.json()) as { cordon: object }).cordon).not.toHaveProperty('drain');

  const before = Date.now();
  const { cordon } = (await (await send('POST', '/h1/drain', { timeout: 90 })).json()) as {
    cordon: { drain: { deadline: string; done: boolean } };
  };
  // Only a worker of the host knows that no container is left.
  expect(cordon.drain.done).toBe(false);
  await hosts.reportEmpty('h1', true);
  expect(await read('/h1')).toMatchObject({ cordon: { drain: { done: true } } });
  expect(Date.parse(cordon.drain.deadline)).toBeGreaterThanOrEqual(before + 90_000);
  expect(Date.parse(cordon.drain.deadline)).toBeLessThanOrEqual(Date.now() + 90_000);

  expect((await send('POST', '/h1/drain', {})).status).toBe(200);
  expect(await read('/h1')).toMatchObject({ cordon: { drain: { done: false } } });
  expect((await send('POST', '/h1/uncordon')).status).toBe(200);
  expect(await read('/h1')).not.toHaveProperty('cordon');
});

test.each([
  ['POST', '/nobody/cordon', undefined, 404],
  ['POST', '/nobody/uncordon', undefined, 404],
  ['POST', '/nobody/drain', {}, 404],
  ['GET', '/nobody', undefined, 404],
  ['GET', '/NOT_A_NAME', undefined, 404],
  ['POST', '/h1/drain', { timeout: -1 }, 400],
  ['POST', '/h1/drain', { timeout: 1.5 }, 400],
  ['POST', '/h1/drain', { deadline: 5 }, 400],
])('%s %s with %j gets %s', async (method, path, body, status) => {
  expect((await send(method, path, body)).status).toBe(status);
});

import type { AddressInfo } from 'node:net';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { createHealthServer } from './health-server.ts';
import type { Readiness } from './health-server.ts';
import { Gauge, createMetrics } from './metrics.ts';

const errors: unknown[] = [];
beforeEach(() => {
  errors.length = 0;
});

async function serve(readiness: () => Promise<Readiness>, metrics = createMetrics('test')) {
  const server = createHealthServer({ readiness, metrics, onError: (error) => errors.push(error) });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method });
}

const config = { isCurrent: true, issues: [] };
const ready = () => Promise.resolve({ ready: true, parts: { redis: true }, config });

test('serves health, readiness and metrics', async () => {
  const ask = await serve(ready);
  expect(await (await ask('/healthz')).json()).toEqual({ status: 'ok' });
  const readyz = await ask('/readyz');
  expect([readyz.status, await readyz.json()]).toEqual([
    200,
    { ready: true, parts: { redis: true }, config },
  ]);
  expect(await (await ask('/metrics')).text()).toMatch(/process_cpu_seconds_total\{app="test"\}/);
  expect((await ask('/other')).status).toBe(404);
  expect((await ask('/healthz', 'POST')).status).toBe(405);
});

test('reports which part is not ready', async () => {
  const parts = { redis: false, docker: true };
  const ask = await serve(() => Promise.resolve({ ready: false, parts, config }));
  const answer = await ask('/readyz');
  expect([answer.status, await answer.json()]).toEqual([503, { ready: false, parts, config }]);
});

// A gauge that reads Redis fails while Redis is unavailable. The rejection must not end the
// process.
test('a failing metric or readiness check answers 500', async () => {
  const metrics = createMetrics('test');
  new Gauge({
    name: 'ephemera_unavailable',
    help: 'Always fails',
    registers: [metrics],
    collect: () => Promise.reject(new Error('Redis is unavailable')),
  });
  const ask = await serve(() => Promise.reject(new Error('Redis is unavailable')), metrics);
  expect((await ask('/metrics')).status).toBe(500);
  expect((await ask('/readyz')).status).toBe(500);
  expect(errors.map(String)).toEqual(Array(2).fill('Error: Redis is unavailable'));
  expect((await ask('/healthz')).status).toBe(200);
});

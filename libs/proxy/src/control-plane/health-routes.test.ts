import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mountRoutes } from '@ephemera/http';
import { createLogger } from '@ephemera/process';
import Koa from 'koa';
import { expect, onTestFinished, test } from 'vitest';
import { errorHandler } from '../failure-page.ts';
import { type ReadinessChecks, healthRoutes } from './health-routes.ts';

const config = { isCurrent: false, issues: [{ path: 'a.b', detail: 'wrong' }] };

async function serve(parts: ReadinessChecks) {
  const app = new Koa();
  app.use(errorHandler(createLogger('proxy', 'silent')));
  const mounting = { unknown: 'refuse', exact: false, checkResponses: true } as const;
  app.use(mountRoutes(healthRoutes(parts, { issues: config.issues }), mounting));
  const handle = app.callback();
  const server = createServer((req, res) => void handle(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    const body: unknown = await answer.json().catch(() => undefined);
    return { status: answer.status, body };
  };
}

test('a replica is ready when every check passes', async () => {
  const parts = { routes: true, worker: true };
  const ask = await serve({
    routes: () => parts.routes,
    worker: () => Promise.resolve(parts.worker),
  });
  expect(await ask('/readyz')).toEqual({ status: 200, body: { ready: true, parts, config } });
  parts.worker = false;
  expect(await ask('/readyz')).toEqual({ status: 503, body: { ready: false, parts, config } });
  expect(await ask('/readyz/routes')).toEqual({ status: 200, body: { ready: true } });
  expect(await ask('/readyz/worker')).toEqual({ status: 503, body: { ready: false } });
  expect((await ask('/readyz/toString')).status).toBe(404);
});

test('a check that hangs or fails counts as failed, and delays no other', async () => {
  let asked = 0;
  const ask = await serve({
    running: () => true,
    worker: () => new Promise<boolean>(() => asked++),
    routes: () => Promise.reject(new Error('unavailable')),
  });
  expect(await ask('/readyz/running')).toEqual({ status: 200, body: { ready: true } });
  expect(asked).toBe(0);
  const parts = { running: true, worker: false, routes: false };
  expect(await ask('/readyz')).toEqual({ status: 503, body: { ready: false, parts, config } });
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { createLogger } from '@ephemera/process';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorHandler } from './error-handler.ts';
import { requireKnownName } from './known-names.ts';

const app = new Koa();
app.use(
  errorHandler({
    logger: createLogger('test', 'silent'),
    isRedisUnavailable: () => false,
    respond: (ctx, failure) => {
      ctx.status = failure.kind === 'invalid' ? (failure.status ?? 400) : 500;
      ctx.body = failure;
    },
  }),
);
app.use(requireKnownName(['ops.example', 'Proxy:8081'], 'EPHEMERA_ADMIN_NAMES'));
app.use((ctx) => {
  ctx.body = 'reached';
});
const handle = app.callback();
const server = createServer((req, res) => void handle(req, res));

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

async function get(path: string, host: string | undefined): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const lines = host === undefined ? 'HTTP/1.0\r\n' : `HTTP/1.1\r\nHost: ${host}\r\n`;
  socket.write(`GET ${path} ${lines}Connection: close\r\n\r\n`);
  return await text(socket);
}

test.each([
  ...['127.0.0.1', '192.0.2.7:8081', '[::1]', '[2001:db8::1]:8081', 'localhost', 'LOCALHOST:1'],
  ...['dash.localhost', 'ops.example', 'OPS.example.:8081', 'proxy', 'proxy:9', undefined],
])('Host %s is answered', async (host) => {
  expect(await get('/v1/instances', host)).toContain('reached');
});

test.each([
  ...['evil.example', 'rebound.ops.example', 'ops.example.evil.example', 'localhost.evil.example'],
  ...['127.0.0.1.evil.example', '127.0.0.1.nip.io', 'xproxy', 'proxy.evil.example', '0x7f000001'],
  ...['127.1', '2130706433', 'ops.example..', 'notlocalhost'],
])('Host %s gets 421, except for health and metrics', async (host) => {
  for (const path of [
    '/',
    '/v1/instances',
    '/healthz/../v1',
    '/metricsx',
    '/tls/ask/x',
    '/x?/metrics',
  ])
    expect(await get(path, host), path).toMatch(/^HTTP\/1\.1 421 [^]*EPHEMERA_ADMIN_NAMES/);
  for (const path of [
    '/healthz',
    '/readyz',
    '/readyz/running',
    '/metrics',
    '/tls/ask?domain=a',
    '/healthz/',
    '/Readyz',
  ])
    expect(await get(path, host), path).toContain('reached');
});

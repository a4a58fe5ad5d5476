import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startChild, startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';

// Clients of the admin port must not take the descriptors that visitors need. The process may open few.

const MAIN = fileURLToPath(new URL('../../../apps/proxy/src/main.ts', import.meta.url));
const DESCRIPTORS = 256;

/** The status of a request on a new connection; 0 if it is refused. */
function statusOf(port: number, path: string, localAddress: string): Promise<number> {
  return new Promise((resolve) => {
    const req = request({ host: '127.0.0.1', port, path, localAddress, agent: false }, (res) => {
      res.resume();
      resolve(res.statusCode ?? 0);
    });
    req.on('error', () => resolve(0));
    req.end();
  });
}

test('idle connections to the admin port leave descriptors for visitors', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-admin-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const templates = join(folder, 'ephemera.yml');
  writeFileSync(templates, 'default: demo\ntemplates: { demo: { image: a, port: 80 } }\n');
  const [publicPort, adminPort] = [await freePort(), await freePort()];
  const proxy = startChild(
    '/bin/sh',
    ['-c', `ulimit -n ${DESCRIPTORS}; exec "$0" "$1"`, process.execPath, MAIN],
    {
      EPHEMERA_REDIS_URL: redis.url,
      EPHEMERA_CONFIG: templates,
      EPHEMERA_ADMIN_TOKEN: 'an-admin-token-of-a-test',
      EPHEMERA_PUBLIC_PORT: String(publicPort),
      EPHEMERA_ADMIN_PORT: String(adminPort),
      EPHEMERA_UNREADY: '0s',
      EPHEMERA_DRAIN: '1s',
    },
  );
  onTestFinished(() => proxy.stop());
  await waitFor('the proxy', () => {
    if (proxy.ended() !== undefined) throw new Error(proxy.log());
    return proxy.log().includes('proxy ready');
  });

  let closed = 0;
  const clients = Array.from({ length: DESCRIPTORS }, () => {
    const socket = connect({ host: '127.0.0.1', port: adminPort });
    socket.on('error', () => undefined).on('close', () => closed++);
    return socket.resume();
  });
  onTestFinished(() => clients.forEach((socket) => socket.destroy()));
  // Of the 9 connections of the admin port, half are for one address.
  await waitFor('their refusal', () => closed >= DESCRIPTORS - 4);
  expect(await statusOf(publicPort, '/demo/', '127.0.0.2')).toBe(200);
  expect(await statusOf(adminPort, '/healthz', '127.0.0.2')).toBe(200);
  expect(closed).toBe(DESCRIPTORS - 4);
});

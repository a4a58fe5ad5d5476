import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, installed, reaches, startChild, waitFor } from '@ephemera/test-support';
import { afterEach, expect, test } from 'vitest';
import { root } from './run.ts';

// Debian's haproxy with the rules of deploy/haproxy.cfg, on ports of this machine, before a server
// that returns the fields that it received.

const LIMIT = 5;
const FRONTENDS = { visitors: '8080', admin: '8081', dashboard: '8082' } as const;
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** Starts it. @returns the port of each frontend */
async function startBalancer(trusted: string): Promise<Record<keyof typeof FRONTENDS, number>> {
  const upstream = createServer((req, res) => res.end(JSON.stringify(req.rawHeaders)));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  cleanUps.push(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const server = `server s 127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  let text = (await readFile(join(root, 'deploy/haproxy.cfg'), 'utf8'))
    .replace(/^resolvers [^]*?\n\n/m, '')
    .replace(/^ {2}default-server .*/m, '')
    .replace(/^ {2}server-template .*/gm, `  ${server}`)
    .replace('bind :8404', `bind 127.0.0.1:${await freePort()}`);
  const ports = { visitors: 0, admin: 0, dashboard: 0 };
  for (const name of ['visitors', 'admin', 'dashboard'] as const) {
    ports[name] = await freePort();
    text = text.replace(`bind :${FRONTENDS[name]}\n`, `bind 127.0.0.1:${ports[name]}\n`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-balancer-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, text);
  const child = startChild(await installed('haproxy'), ['-db', '-f', file], {
    EPHEMERA_PUBLIC_PORT: '8080',
    EPHEMERA_TRUSTED_PROXIES: trusted,
    EPHEMERA_CONNECTIONS_PER_ADDRESS: String(LIMIT),
  });
  cleanUps.push(() => child.stop(5_000));
  await waitFor('haproxy', () => child.ended() !== undefined || reaches(ports.visitors));
  if (child.ended() !== undefined) throw new Error(child.log());
  return ports;
}

const FORGED = [
  ['X-Forwarded-For', '6.6.6.6'],
  ['X-Forwarded-User', 'forged'],
  ['x-forwarded-email', 'forged'],
  ['X-FORWARDED-ACCESS-TOKEN', 'forged'],
  ['X-Forwarded-Anything', 'forged'],
  ['X-Forwarded-Prefix', '/forged'],
  ['X-Auth-Request-User', 'forged'],
  ['X-Auth-Request-Access-Token', 'forged'],
  ['Remote-User', 'forged'],
  ['Remote-Groups', 'forged'],
  ['X-Real-IP', '6.6.6.6'],
  ['Forwarded', 'for=6.6.6.6'],
] as const;
const UNDERSCORES = [
  ['X_Forwarded_User', 'forged'],
  ['X-Forwarded_User', 'forged'],
  ['x_auth_request_user', 'forged'],
  ['REMOTE_USER', 'forged'],
  ['X_Real_IP', '6.6.6.6'],
] as const;

/** The fields that the server behind the balancer receives, in lower case. */
async function passedOn(port: number, fields: readonly (readonly [string, string])[]) {
  const headers = ['Host', 'a', 'Kept', 'kept', ...fields.flat()];
  const req = request({ port, host: '127.0.0.1', headers, agent: false }).end();
  const [res] = (await once(req, 'response')) as [AsyncIterable<Buffer>];
  let text = '';
  for await (const chunk of res) text += String(chunk);
  const raw = JSON.parse(text) as string[];
  return raw.flatMap((name, i) => (i % 2 ? [] : [`${name.toLowerCase()}: ${raw[i + 1] ?? ''}`]));
}

test('every frontend removes what a client says about itself', async () => {
  const ports = await startBalancer('255.255.255.255');
  for (const port of Object.values(ports)) {
    const seen = await passedOn(port, [...FORGED, ...UNDERSCORES]);
    expect(seen.filter((line) => /forged|6\.6\.6\.6/.test(line))).toEqual([]);
    expect(seen).toContain('kept: kept');
    expect(seen).toContain('x-forwarded-for: 127.0.0.1');
  }
});

test('what a trusted proxy says passes, but not in underscores', async () => {
  const ports = await startBalancer('127.0.0.0/8');
  for (const port of Object.values(ports)) {
    const seen = await passedOn(port, [...FORGED, ...UNDERSCORES]);
    const expected = FORGED.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
    expect(seen).toEqual(expect.arrayContaining(expected));
    expect(seen.filter((line) => /^[^:]*_/.test(line))).toEqual([]);
    expect(seen).toContain('x-forwarded-for: 127.0.0.1');
  }
});

/** Opens a connection. @returns whether it stays open for a request */
async function opens(port: number, localAddress: string): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  cleanUps.push(() => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  return await new Promise((resolve) => {
    socket.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
}

test('one client cannot take all connections, a trusted proxy can', async () => {
  const { visitors } = await startBalancer('127.0.0.9');
  for (let i = 0; i < LIMIT; i++) expect(await opens(visitors, '127.0.0.2')).toBe(true);
  expect(await opens(visitors, '127.0.0.2')).toBe(false);
  expect(await opens(visitors, '127.0.0.3')).toBe(true);
  for (let i = 0; i < LIMIT * 2; i++) expect(await opens(visitors, '127.0.0.9')).toBe(true);
});

import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { type Instance, createClient, isProblem } from '@ephemera/client';
import { hashToken } from '@ephemera/http';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';

// Files of an instance, from the client through a proxy and the worker of its host.

const [OWNER = '', OTHER = ''] = ['owner', 'other'].map(
  (name) => `${name}-${randomBytes(24).toString('base64url')}`,
);
const common = `
    image: ephemera/demo
    port: 8080
    timeout: 10m
    stopGrace: 0s
    tmpfs: { /tmp: 16m, /work: 256m }
    limits: { memory: 300m, cpus: 1, pids: 200 }
    command: ['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; while :; do sleep 60; done']`;
const TEMPLATES = `
default: closed
tokens:
  owner: { hash: '${hashToken(OWNER)}', scopes: [create, exec] }
  other: { hash: '${hashToken(OTHER)}', scopes: [create, exec] }
templates:
  closed:${common}
  owners:${common}
    exec: owner
`;
const KEYS = { EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef' };

let site: Deployment;
let instance: Instance;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES, env: KEYS });
  instance = await start('owners');
});
afterAll(() => site.stop());

const clientOf = (token: string) => createClient({ url: site.adminUrls[0] ?? '', token });
const start = (template: string): Promise<Instance> =>
  clientOf(OWNER).create({ template }, { waitMs: 60_000 });

const send = (
  method: string,
  path: string,
  {
    token = OWNER,
    headers = {},
    body,
  }: { token?: string; headers?: Record<string, string>; body?: string | Buffer<ArrayBuffer> } = {},
) =>
  fetch(`${site.adminUrls[0]}/v1/instances/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body !== undefined && { body }),
  });
const fileOf = (path: string, { id } = instance) => `${id}/files?path=${encodeURIComponent(path)}`;

/** The status and the kind of the problem of a response. */
async function problemOf(answer: Response): Promise<[status: number, kind: string]> {
  const { type } = (await answer.json()) as { type: string };
  return [answer.status, type.replace('urn:ephemera:problem:', '')];
}
const problem = async (work: Promise<unknown>, kind: Parameters<typeof isProblem>[1]) =>
  isProblem(await work.catch((error: unknown) => error), kind);

test('the client writes, reads, lists, moves and removes', async () => {
  const bytes = randomBytes(2_000_000);
  const etag = await instance.writeFile('/work/a b/ä.bin', bytes, { isNew: true });
  expect(Buffer.from(await instance.readFile('/work/a b/ä.bin')).equals(bytes)).toBe(true);
  expect((await instance.openFile('/work/a b/ä.bin', { start: 10, end: 19 })).size).toBe(10);
  expect(
    await problem(
      instance.writeFile('/work/a b/ä.bin', '', { isNew: true }),
      'precondition_failed',
    ),
  ).toBe(true);
  await instance.writeFile('/work/a b/ä.bin', 'two', { ifMatch: etag });
  expect(
    await problem(
      instance.writeFile('/work/a b/ä.bin', '', { ifMatch: etag }),
      'precondition_failed',
    ),
  ).toBe(true);
  await instance.moveFile('/work/a b/ä.bin', '/work/c');
  const { items } = await instance.listFiles('/work');
  expect(items.map(({ name, type, size }) => [name, type, size])).toEqual([
    ['a b', 'directory', expect.any(Number)],
    ['c', 'file', 3],
  ]);
  await instance.removeFile('/work/a b');
  await instance.removeFile('/work/c');
  expect(await problem(instance.readFile('/work/c'), 'not_found')).toBe(true);
});

test('a range, a tag that has not changed, and headers for a browser', async () => {
  await instance.writeFile('/work/page.html', '<script>1</script>');
  const part = await send('GET', fileOf('/work/page.html'), { headers: { range: 'bytes=1-6' } });
  expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 1-6/18']);
  expect(await part.text()).toBe('script');
  expect(part.headers.get('content-type')).toBe('application/octet-stream');
  expect(part.headers.get('content-disposition')).toBe('attachment');
  const tag = part.headers.get('etag') ?? '';
  const same = await send('GET', fileOf('/work/page.html'), { headers: { 'if-none-match': tag } });
  expect([same.status, await same.text()]).toEqual([304, '']);
  for (const [ifRange, status] of [
    [tag, 206],
    ['"1-2-3"', 200],
    [`W/${tag}`, 200],
    [new Date().toUTCString(), 200],
  ] as const) {
    const headers = { range: 'bytes=1-6', 'if-range': ifRange };
    const read = await send('GET', fileOf('/work/page.html'), { headers });
    expect([read.status, (await read.text()).length]).toEqual([status, status === 206 ? 6 : 18]);
  }
  await instance.exec(['touch', '-d', '@99999999999999', '/work/page.html']);
  expect((await send('GET', fileOf('/work/page.html'))).status).toBe(200);
  expect((await instance.listFiles('/work')).items.map(({ name }) => name)).toContain('page.html');
  const beyond = await send('GET', fileOf('/work/page.html'), { headers: { range: 'bytes=18-' } });
  expect(await problemOf(beyond)).toEqual([416, 'invalid']);
});

test('40 MB pass unchanged in both directions as streams', async () => {
  const size = 40_000_000;
  const chunk = randomBytes(1_000_000);
  let sent = 0;
  const content = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent === size) controller.close();
      else controller.enqueue(chunk);
      sent = Math.min(size, sent + chunk.length);
    },
  });
  await instance.writeFile('/work/large', content);
  const { stream, size: length } = await instance.openFile('/work/large');
  expect(length).toBe(size);
  let at = 0;
  for await (const bytes of stream) {
    const from = at % chunk.length;
    const first = Math.min(bytes.length, chunk.length - from);
    if (!chunk.subarray(from, from + first).equals(bytes.subarray(0, first)))
      throw new Error(`differs at ${at}`);
    at += bytes.length;
  }
  expect(at).toBe(size);
  await instance.removeFile('/work/large');
});

test('a file that is larger than the memory of the instance is refused before it is sent', async () => {
  const refused = new Promise<number | undefined>((resolve, reject) => {
    const req = request(`${site.adminUrls[0]}/v1/instances/${fileOf('/work/x')}`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${OWNER}`, 'content-length': 301 * 1024 ** 2 },
    });
    req.on('error', reject).once('response', (res) => {
      req.off('error', reject).on('error', () => undefined);
      resolve(res.statusCode);
      req.destroy();
    });
    req.flushHeaders();
  });
  expect(await refused).toBe(413);
});

test('who may: as for commands', async () => {
  const path = fileOf('/work/secret');
  await instance.writeFile('/work/secret', 'x');
  for (const method of ['GET', 'DELETE']) {
    expect(await problemOf(await send(method, path, { token: OTHER }))).toEqual([403, 'forbidden']);
  }
  const write = await send('PUT', path, { token: OTHER, body: 'x' });
  expect(await problemOf(write)).toEqual([403, 'forbidden']);
  const move = { from: '/work/secret', to: '/work/x' };
  const moved = await send('POST', `${instance.id}/files/move`, {
    token: OTHER,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(move),
  });
  expect(await problemOf(moved)).toEqual([403, 'forbidden']);
  expect((await send('GET', path, { token: TOKEN })).status).toBe(200);
  const closed = await start('closed');
  expect(await problemOf(await send('GET', fileOf('/tmp/x', closed)))).toEqual([409, 'conflict']);
  expect(await problemOf(await send('PUT', fileOf('/tmp/x', closed), { body: 'x' }))).toEqual([
    409,
    'conflict',
  ]);
});

test('paths that are no absolute paths of a file are refused', async () => {
  for (const path of ['', 'etc/passwd', '/work/', '/', '/work/\0x']) {
    const refused = await send('PUT', fileOf(path), { body: 'x' });
    expect(await problemOf(refused), path).toEqual([400, 'invalid']);
  }
});

test('a change leaves an audit line and an event, and a paused instance refuses it', async () => {
  const own = await start('owners');
  const stopping = new AbortController();
  const types: string[] = [];
  const following = (async () => {
    const filter = { instance: [own.id], signal: stopping.signal, lastEventId: '0' };
    for await (const { type } of clientOf(TOKEN).events(filter)) types.push(type);
  })().catch(() => undefined);
  await own.writeFile('/work/x', 'x');
  await waitFor('the event', () => types.includes('files'));
  stopping.abort();
  await following;
  const lines = () =>
    site.proxies
      .flatMap((proxy) => proxy.log().split('\n'))
      .filter((line) => line.includes('"instance.write-file"') && line.includes(own.id));
  await waitFor('the line', () => lines().length === 1);
  expect(lines()[0]).not.toContain('/work/x');
  await clientOf(TOKEN).pause(own.id);
  expect(await problem(own.readFile('/work/x'), 'conflict')).toBe(true);
  expect(await problem(own.writeFile('/work/x', 'y'), 'conflict')).toBe(true);
  await clientOf(TOKEN).kill(own.id);
  expect(await problem(own.readFile('/work/x'), 'gone')).toBe(true);
});

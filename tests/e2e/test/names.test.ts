import { execFile } from 'node:child_process';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { StartFailedError, createClient } from '@ephemera/client';
import { demoTemplate, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';

// Stable names. Two replicas serve them by path, a third one by host.

const DOMAIN = 'names.test';
const READY = { prefer: 'wait=60' };

let site: Deployment;
beforeAll(async () => {
  site = await deploy({
    proxies: 2,
    templates: `
default: page
templates:
  page: ${demoTemplate({ timeout: '10m', maxTimeout: '20m' })}
  broken: ${demoTemplate({ timeout: '10m', maxTimeout: '10m', command: ['/bin/false'] })}
`,
  });
  await site.startProxy({ domain: DOMAIN });
});
afterAll(() => site.stop());

interface Put {
  readonly id: string;
  readonly generation: number;
  readonly isCurrent: boolean;
  readonly url: string;
}

async function put(name: string, body: object = {}, headers: Record<string, string> = READY) {
  const response = await site.api('PUT', `/v1/names/${name}`, body, headers);
  const { status } = response;
  return { status, etag: response.headers.get('etag'), body: (await response.json()) as Put };
}

/** Sends a request for a name. Returns the status and the body. */
async function ask(name: string, path = '/id', replica = 0): Promise<[number, string]> {
  const response = await fetch(`${site.publicUrls[replica]}/demo/@${name}${path}`);
  return [response.status, await response.text()];
}

async function askHost(host: string, path = '/id'): Promise<[number | undefined, string]> {
  const { promise, resolve, reject } = Promise.withResolvers<[number | undefined, string]>();
  const { port } = new URL(site.publicUrls[2] ?? '');
  request({ host: '127.0.0.1', port, path, headers: { host: `${host}:${port}` } }, (res) => {
    text(res).then((body) => resolve([res.statusCode, body]), reject);
  })
    .on('error', reject)
    .end();
  return promise;
}

test('a name leads to its instance by path and by host, on every replica, until it is deleted', async () => {
  const { status, etag, body } = await put('pr-1');
  expect(status).toBe(201);
  expect(body.isCurrent).toBe(true);
  expect(new URL(body.url).pathname).toBe('/demo/@pr-1/');
  for (const replica of [0, 1]) expect(await ask('pr-1', '/id', replica)).toEqual([200, body.id]);
  expect(await askHost(`pr-1.${DOMAIN}`)).toEqual([200, body.id]);
  expect(await askHost(`8080--pr-1.${DOMAIN}`)).toEqual([200, body.id]);
  expect(await askHost(`pr-2.${DOMAIN}`)).toEqual([404, expect.any(String)]);

  const read = await site.api('GET', '/v1/names/pr-1');
  expect(read.headers.get('etag')).toBe(etag);
  expect(await read.json()).toMatchObject({ name: 'pr-1', instance: { id: body.id } });
  const list = (await (await site.api('GET', '/v1/names')).json()) as { items: { name: string }[] };
  expect(list.items.map(({ name }) => name)).toContain('pr-1');

  expect((await site.api('DELETE', '/v1/names/pr-1')).status).toBe(204);
  await waitFor('the end of the name', async () => (await ask('pr-1'))[0] === 404);
  expect((await site.api('GET', '/v1/names/pr-1')).status).toBe(404);
  const ended = await site.api('GET', `/v1/instances/${body.id}`);
  expect(await ended.json()).toMatchObject({ status: { reason: 'request' } });
});

test('redirects, cookies and forwarded prefixes have the path of the name', async () => {
  const { body } = await put('paths');
  const bare = await fetch(`${site.publicUrls[0]}/demo/@paths`, { redirect: 'manual' });
  expect([bare.status, bare.headers.get('location')]).toEqual([308, '/demo/@paths/']);
  const [, echo] = await ask('paths', '/cgi-bin/echo?a=1');
  expect(echo).toContain('x-forwarded-prefix: /demo/@paths\n');
  expect(echo).toContain('path: /cgi-bin/echo\n');
  expect(echo).toContain(`instance: ${body.id}\n`);
});

test('no request fails while the name moves, and the instance before it ends', async () => {
  let { id } = (await put('live')).body;
  const first = id;
  const served = new Set<string>();
  const failures: string[] = [];
  let isOver = false;
  let requests = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const get = (replica: number): Promise<[number | undefined, string]> => {
    const { promise, resolve, reject } = Promise.withResolvers<[number | undefined, string]>();
    const url = `${site.publicUrls[replica]}/demo/@live/id`;
    const onResponse = (res: Parameters<NonNullable<Parameters<typeof request>[2]>>[0]) =>
      void text(res).then((body) => resolve([res.statusCode, body]), reject);
    request(url, { agent }, onResponse).on('error', reject).end();
    return promise;
  };
  const client = async (replica: number) => {
    while (!isOver) {
      const [status, body] = await get(replica).catch(
        (error: unknown) => [0, String(error)] as const,
      );
      requests++;
      if (status === 200) served.add(body);
      else failures.push(`${status} ${body}`);
    }
  };
  const clients = [0, 1, 0, 1].map(client);
  // A request that began before the name moved: its body ends afterwards.
  const upload = request(`${site.publicUrls[0]}/demo/@live/cgi-bin/echo`, {
    method: 'POST',
    headers: { 'content-length': '4' },
  });
  const uploaded = new Promise<string>((resolve, reject) => {
    upload.on('response', (res) => void text(res).then(resolve, reject)).on('error', reject);
  });
  upload.write('ab');

  const ids = [id];
  for (let i = 0; i < 3; i++) {
    ({ id } = (await put('live', { drain: 5 })).body);
    ids.push(id);
    await waitFor('an answer of the new instance', () => served.has(id));
    if (i === 0) upload.end('cd');
  }
  const echo = await uploaded;
  expect(echo).toContain(`instance: ${first}\n`);
  expect(echo.endsWith('abcd')).toBe(true);
  await waitFor('the end of the first instance', async () => {
    const instance = await (await site.api('GET', `/v1/instances/${first}`)).json();
    return (instance as { status: { state: string } }).status.state === 'gone';
  });
  isOver = true;
  await Promise.all(clients);
  agent.destroy();

  expect(failures).toEqual([]);
  expect(requests).toBeGreaterThan(100);
  expect([...served].sort()).toEqual([...ids].sort());
  const ended = await site.api('GET', `/v1/instances/${first}`);
  expect(await ended.json()).toMatchObject({ status: { reason: 'replaced' } });
  expect(await ask('live')).toEqual([200, id]);
});

test('a start that fails leaves the name where it is', async () => {
  const { body } = await put('steady');
  const failed = await put('steady', { template: 'broken' });
  expect(failed.status).toBe(502);
  expect(await ask('steady')).toEqual([200, body.id]);
  expect((await put('steady')).body.isCurrent).toBe(true);
});

test('a change applies only to the generation that its client has read', async () => {
  const created = await put('tagged', {}, { ...READY, 'if-none-match': '*' });
  expect(created.status).toBe(201);
  expect((await put('tagged', {}, { 'if-none-match': '*' })).status).toBe(412);
  expect((await put('tagged', {}, { 'if-match': '"1"' })).status).toBe(412);
  expect((await put('none-yet', {}, { 'if-match': '*' })).status).toBe(412);
  const stale = { 'if-match': '"1"' };
  expect((await site.api('DELETE', '/v1/names/tagged', undefined, stale)).status).toBe(412);
  const next = await put('tagged', {}, { ...READY, 'if-match': created.etag ?? '' });
  expect(next.status).toBe(201);
  expect(next.body.generation).toBeGreaterThan(created.body.generation);
});

test('of two replacements the later one gets the name, and the other one ends', async () => {
  await put('twice');
  const [one, two] = [await put('twice', {}, {}), await put('twice', {}, {})];
  expect([one.status, two.status]).toEqual([202, 202]);
  await waitFor('the second one', async () => (await ask('twice'))[1] === two.body.id);
  await waitFor('the end of the first one', async () => {
    const instance = await (await site.api('GET', `/v1/instances/${one.body.id}`)).json();
    const { state, reason } = (instance as { status: { state: string; reason?: string } }).status;
    return state === 'gone' && reason === 'replaced';
  });
});

test('the name of an ended instance says so', async () => {
  const { body } = await put('ended');
  await site.api('DELETE', `/v1/instances/${body.id}`);
  await waitFor('410', async () => (await ask('ended'))[0] === 410);
});

test('the client starts, replaces, reads and removes a name', async () => {
  const { names, get } = createClient({ url: site.adminUrls[0] ?? '', token: TOKEN });
  const states: string[] = [];
  const first = await names.put(
    'client',
    { template: 'page', drain: 0 },
    { ifNoneMatch: '*', onProgress: ({ state }) => states.push(state) },
  );
  expect(states.at(-1)).toBe('ready');
  expect(await (await fetch(new URL('id', first.url))).text()).toBe(first.id);
  await expect(names.put('client', {}, { ifNoneMatch: '*' })).rejects.toMatchObject({
    kind: 'precondition_failed',
  });
  const failed = await names.put('client', { template: 'broken' }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(StartFailedError);
  expect(await ask('client')).toEqual([200, first.id]);

  const { generation, instance } = await names.get('client');
  expect(instance?.id).toBe(first.id);
  const second = await names.put('client', { drain: 0 }, { ifMatch: generation });
  expect(await ask('client')).toEqual([200, second.id]);
  await expect(names.delete('client', { ifMatch: generation })).rejects.toMatchObject({
    kind: 'precondition_failed',
  });
  const listed: string[] = [];
  for await (const { name } of names.list()) listed.push(name);
  expect(listed).toContain('client');

  await names.delete('client', { ifMatch: second.generation });
  await expect(names.get('client')).rejects.toMatchObject({ kind: 'not_found' });
  await waitFor('the end of both', async () => {
    const all = await Promise.all([first, second].map(({ id }) => get(id)));
    return all.every(({ state }) => state === 'gone');
  });
});

test('the command line starts, shows and removes a name', async () => {
  const main = join(import.meta.dirname, '../../../apps/cli/src/main.ts');
  const ephemera = async (...words: string[]): Promise<string> => {
    const env = {
      PATH: process.env['PATH'],
      EPHEMERA_ADMIN_URL: site.adminUrls[0],
      EPHEMERA_ADMIN_TOKEN: TOKEN,
    };
    return (await promisify(execFile)(process.execPath, [main, 'name', ...words], { env })).stdout;
  };
  const url = (await ephemera('put', 'line', 'page', '--wait', '--quiet')).trim();
  expect(new URL(url).pathname).toBe('/demo/@line/');
  const [status, id] = await ask('line');
  expect(status).toBe(200);
  expect(await ephemera('get', 'line')).toContain(id);
  expect(await ephemera('ls')).toMatch(new RegExp(`^line +page +ready .*${id}.* ${url}$`, 'm'));

  await expect(ephemera('rm', 'line', '--if-match', '1')).rejects.toMatchObject({ code: 1 });
  await ephemera('rm', 'line');
  await waitFor('the end of the name', async () => (await ask('line'))[0] === 404);
});

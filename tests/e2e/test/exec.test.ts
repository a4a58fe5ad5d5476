import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { type Instance, createClient, isProblem } from '@ephemera/client';
import { hashToken } from '@ephemera/http';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, TOKEN, deploy } from './deployment.ts';
import { processesOf } from './docker-cli.ts';

// Commands in an instance, from the client through a proxy and the worker of its host.

const [OWNER = '', OTHER = '', MAKER = ''] = ['owner', 'other', 'maker'].map(
  (name) => `${name}-${randomBytes(24).toString('base64url')}`,
);
const COMMAND = `['/bin/sh', '-c', 'httpd -p 8080 -h /tmp; while :; do sleep 60; done']`;
const common = `
    image: ephemera/demo
    port: 8080
    timeout: 10m
    stopGrace: 0s
    tmpfs: { /tmp: 16m }
    limits: { cpus: 1, pids: 200 }
    command: ${COMMAND}`;
const TEMPLATES = `
default: closed
tokens:
  owner: { hash: '${hashToken(OWNER)}', scopes: [create, exec] }
  other: { hash: '${hashToken(OTHER)}', scopes: [create, exec] }
  maker: { hash: '${hashToken(MAKER)}', scopes: [create] }
templates:
  closed:${common}
  operators:${common}
    exec: admin
  owners:${common}
    exec: owner
`;
const KEYS = { EPHEMERA_SIGNING_KEYS: 'e2e-0123456789abcdef0123456789abcdef' };

let site: Deployment;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES, proxies: 2, env: KEYS });
});
afterAll(() => site.stop());

const clientOf = (token: string, replica = 0) =>
  createClient({ url: site.adminUrls[replica] ?? '', token });

const start = (template: string, token = TOKEN): Promise<Instance> =>
  clientOf(token).create({ template }, { waitMs: 60_000 });

const sh = (line: string): string[] => ['/bin/sh', '-c', line];

/** The status and the kind of the problem of a request. */
async function problemOf(answer: Response): Promise<[status: number, kind: string]> {
  const { type } = (await answer.json()) as { type: string };
  return [answer.status, type.replace('urn:ephemera:problem:', '')];
}

const as = (token: string, method: string, path: string, body?: unknown) =>
  site.api(method, path, body, { authorization: `Bearer ${token}` });

describe('a command', () => {
  let instance: Instance;
  beforeAll(async () => {
    instance = await start('operators');
  });

  test('answers with its exit code and output', async () => {
    const { id } = instance;
    const body = { cmd: sh('echo out; echo err >&2; cat; exit 3'), stdin: 'in' };
    const answer = await site.api('POST', `/v1/instances/${id}/exec`, body, { prefer: 'wait=60' });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({
      ...{ state: 'exited', exitCode: 3 },
      stdout: { offset: 0, data: 'out\nin', total: 6 },
      stderr: { offset: 0, data: 'err\n', total: 4 },
    });
  });

  test('runs in the background, and is read by position from another replica', async () => {
    const path = `/v1/instances/${instance.id}/exec`;
    const cmd = sh('printf 0123456789; read line; printf "$line"');
    const started = await site.api('POST', path, { cmd, keepStdin: true });
    expect(started.status).toBe(202);
    const { execId } = (await started.json()) as { execId: string };
    expect(started.headers.get('location')).toBe(`${path}/${execId}`);
    const read = async (query = '') =>
      (await site.api('GET', `${path}/${execId}${query}`, undefined, {}, 1)).json();
    await waitFor('its output', async () => {
      const { stdout } = (await read()) as { stdout: { total: number } };
      return stdout.total === 10;
    });
    const dataBase64 = Buffer.from('abc\n').toString('base64');
    const written = await site.api('POST', `${path}/${execId}/stdin`, { dataBase64 });
    expect(written.status).toBe(204);
    await waitFor('its end', async () => ((await read()) as { state: string }).state === 'exited');
    expect(await read('?stdout=8')).toMatchObject({
      stdout: { offset: 8, data: '89abc', total: 13 },
    });
    expect(await read('?encoding=base64')).toMatchObject({
      stdout: { data: Buffer.from('0123456789abc').toString('base64') },
    });
    const late = await site.api('POST', `${path}/${execId}/stdin`, { dataBase64 });
    expect(await problemOf(late)).toEqual([409, 'conflict']);
  });

  test('gets and returns 3 MB of binary data unchanged', async () => {
    const bytes = randomBytes(3_000_000);
    const command = await instance.spawn(['cat'], { stdin: bytes });
    const chunks: Uint8Array[] = [];
    for await (const { data } of command.output()) chunks.push(data);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  test('of 10 MB of output, JSON has the last 256 KiB', async () => {
    const body = { cmd: sh('head -c 10000000 /dev/zero | tr "\\0" x; printf end') };
    const path = `/v1/instances/${instance.id}/exec`;
    const answer = await site.api('POST', path, body, { prefer: 'wait=60' });
    const { stdout } = (await answer.json()) as { stdout: { data: string; total: number } };
    expect(stdout.total).toBe(10_000_003);
    expect(stdout.data.length).toBe(262_144);
    expect(stdout.data.endsWith('xend')).toBe(true);
  });

  test('is killed with its descendants, on request and by its timeout', async () => {
    const family = sh('(setsid sleep 5001 &) ; sleep 5002 & echo on; sleep 5003');
    const command = await instance.spawn(family);
    const output = command.output();
    // The descendants run once the command has written.
    expect(await output.next()).toMatchObject({ value: { stream: 'stdout' } });
    await command.kill();
    expect(await processesOf(instance.id)).not.toMatch(/sleep 500\d/);
    expect((await output.next()).value).toEqual({ state: 'killed', reason: 'request' });

    const timed = await instance.exec(family, { timeout: 1 });
    expect(timed).toMatchObject({ state: 'killed', reason: 'timeout', stdout: 'on\n' });
    expect(await processesOf(instance.id)).not.toMatch(/sleep 500\d/);
  });

  test('emits an event and leaves an audit line', async () => {
    const client = clientOf(TOKEN);
    const stopping = new AbortController();
    const types: string[] = [];
    const following = (async () => {
      const events = client.events({
        instance: [instance.id],
        signal: stopping.signal,
        lastEventId: '0',
      });
      for await (const { type } of events) types.push(type);
    })().catch(() => undefined);
    await instance.exec(['true']);
    await waitFor('the event', () => types.includes('exec'));
    stopping.abort();
    await following;
    const audited = site.proxies
      .flatMap((proxy) => proxy.log().split('\n'))
      .filter((line) => line.includes('administrative act') && line.includes('"instance.exec"'));
    expect(audited.at(-1)).toContain(instance.id);
    expect(audited.at(-1)).toContain('"by":"admin"');
  });

  test('does not run while the instance is paused', async () => {
    await instance.pause();
    const refused = await site.api('POST', `/v1/instances/${instance.id}/exec`, { cmd: ['true'] });
    expect(await problemOf(refused)).toEqual([409, 'conflict']);
    await instance.resume();
    expect(await instance.exec(['true'])).toMatchObject({ exitCode: 0 });
  });

  test('of 100 at once, some run and the others are refused', async () => {
    const { id } = await start('operators');
    const path = `/v1/instances/${id}/exec`;
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => site.api('POST', path, { cmd: ['sleep', '5004'] })),
    );
    const started = answers.filter(({ status }) => status === 202);
    expect(started).toHaveLength(16);
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(84);
    for (const answer of started) {
      const { execId } = (await answer.json()) as { execId: string };
      await site.api('POST', `${path}/${execId}/kill`, {});
    }
    expect(await processesOf(id)).not.toContain('sleep 5004');
  });

  test('of the command line: input, output and exit code', async () => {
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, '../../../apps/cli/src/main.ts'),
        ...['exec', instance.id, '--', ...sh('cat; echo err >&2; exit 42')],
      ],
      {
        env: { ...process.env, EPHEMERA_ADMIN_URL: site.adminUrls[0], EPHEMERA_ADMIN_TOKEN: TOKEN },
      },
    );
    const bytes = randomBytes(200_000);
    // Else a command that fails early would end the tests.
    child.stdin.on('error', () => undefined).end(bytes);
    const [stdout, stderr, code] = await Promise.all([
      buffer(child.stdout),
      text(child.stderr),
      new Promise((resolve) => child.once('close', resolve)),
    ]);
    expect({ stderr, code }).toEqual({ stderr: 'err\n', code: 42 });
    expect(stdout.equals(bytes)).toBe(true);
  });
});

test('the end of the instance ends the command, with the reason', async () => {
  const instance = await start('operators');
  const command = await instance.spawn(sh('echo on; sleep 600'));
  const output = command.output();
  // Else Docker may still be starting it, and writes its own message.
  expect(await output.next()).toMatchObject({ value: { stream: 'stdout' } });
  await instance.kill();
  expect((await output.next()).value).toEqual({ state: 'killed', reason: 'request' });
  const path = `/v1/instances/${instance.id}/exec/${command.execId}`;
  expect(await problemOf(await site.api('GET', path))).toEqual([410, 'gone']);
});

describe('who may run commands', () => {
  const exec = (token: string, id: string) =>
    as(token, 'POST', `/v1/instances/${id}/exec`, { cmd: ['true'] });

  test('nobody, where the template does not allow it', async () => {
    const { id } = await start('closed', OWNER);
    expect(await problemOf(await exec(TOKEN, id))).toEqual([409, 'conflict']);
    expect(await problemOf(await exec(OWNER, id))).toEqual([409, 'conflict']);
  });

  test('with exec: admin, only tokens of scope admin', async () => {
    const { id } = await start('operators', OWNER);
    expect(await problemOf(await exec(OWNER, id))).toEqual([403, 'forbidden']);
    expect((await exec(TOKEN, id)).status).toBe(202);
  });

  test('with exec: owner, the token that started it, if it has the scope', async () => {
    const { id } = await start('owners', OWNER);
    const started = await exec(OWNER, id);
    expect(started.status).toBe(202);
    expect((await exec(TOKEN, id)).status).toBe(202);
    expect(await problemOf(await exec(OTHER, id))).toEqual([403, 'forbidden']);
    expect(await problemOf(await exec(OTHER, 'b'.repeat(26)))).toEqual([403, 'forbidden']);
    const { execId } = (await started.json()) as { execId: string };
    const path = `/v1/instances/${id}/exec/${execId}`;
    expect(await problemOf(await as(OTHER, 'GET', path))).toEqual([403, 'forbidden']);
    expect(await problemOf(await as(OTHER, 'POST', `${path}/kill`, {}))).toEqual([
      403,
      'forbidden',
    ]);
    // The command of one instance is not one of another.
    const own = await start('owners', OTHER);
    const elsewhere = `/v1/instances/${own.id}/exec/${execId}`;
    expect(await problemOf(await as(OTHER, 'GET', elsewhere))).toEqual([404, 'not_found']);

    const made = await start('owners', MAKER);
    expect(await problemOf(await exec(MAKER, made.id))).toEqual([403, 'forbidden']);
  });
});

test('without signing keys, no command runs', async () => {
  const own = await deploy({ templates: TEMPLATES });
  try {
    const client = createClient({ url: own.adminUrls[0] ?? '', token: TOKEN, retries: 0 });
    const instance = await client.create({ template: 'operators' }, { waitMs: 60_000 });
    const refused: unknown = await instance.exec(['true']).catch((error: unknown) => error);
    expect(isProblem(refused, 'host_unavailable')).toBe(true);
  } finally {
    await own.stop();
  }
});

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';
import { TEMPLATES } from './templates.ts';

// Whatever is wrong is said clearly, and ends nothing.

const root = join(import.meta.dirname, '../../..');

describe('requests', () => {
  let site: Deployment;
  beforeAll(async () => {
    site = await deploy({ templates: TEMPLATES });
  });
  afterAll(() => site.stop());

  test.each([
    ['an unknown template', { template: 'nope' }, /Unknown template.*demo, brief/s],
    ['a negative timeout', { timeout: -5 }, /from 1 to 600/],
    ['a timeout of zero, which is never the default', { timeout: 0 }, /from 1 to 600/],
    ['an absurd timeout', { timeout: 1e300 }, /from 1 to 600/],
    ['a timeout above the maximum', { timeout: 601 }, /from 1 to 600/],
    ['a timeout that is no whole number', { timeout: 1.5 }, /from 1 to 600/],
    ['a timeout that is no number', { timeout: '60' }, /timeout/],
    ['an unknown field', { tmeout: 60 }, /tmeout.*unknown field/],
    ['a variable of ours', { env: { EPHEMERA_ID: 'x' } }, /env\.EPHEMERA_ID/],
    [
      'variables that the template does not list',
      { env: { GREETING: 'x', LD_PRELOAD: '/x' } },
      /env\.GREETING.*env\.LD_PRELOAD.*envAllow: \[GREETING, LD_PRELOAD\]/s,
    ],
    ['metadata that are no text', { metadata: { a: 1 } }, /metadata\.a/],
    ['an array', [], /expected object/i],
    ['broken JSON', '{"template":', /not valid JSON/],
  ])('%s: 400 with the reason', async (_, body, reason) => {
    const answer = await site.api('POST', '/v1/instances', body);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await answer.text()).toMatch(reason);
  });

  test('every fault of a body is told at once', async () => {
    const body = { template: 1, timeout: 'x', metadata: { '': '' }, extra: true };
    const { faults } = (await (await site.api('POST', '/v1/instances', body)).json()) as {
      faults: { path: string }[];
    };
    expect(faults.map(({ path }) => path).sort()).toEqual([
      'extra',
      'metadata.',
      'template',
      'timeout',
    ]);
  });

  test('another type than JSON: 415, not an instance with defaults', async () => {
    const answer = await site.api('POST', '/v1/instances', 'timeout=5', {
      'content-type': 'text/plain',
    });
    expect(answer.status).toBe(415);
  });

  test('unknown ids: 404 on both ports, whatever they look like', async () => {
    const never = 'a'.repeat(26);
    for (const id of [never, 'x', '..%2f..', '%00', "'--", never.toUpperCase()]) {
      expect((await site.api('GET', `/v1/instances/${id}`)).status).toBe(404);
      expect((await site.api('DELETE', `/v1/instances/${id}`)).status).toBe(404);
    }
    const answer = await fetch(`${site.publicUrls[0]}/demo/${never}/`);
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  test('a page for a browser, which shows nothing of what was sent unescaped', async () => {
    const answer = await fetch(`${site.publicUrls[0]}/demo/<script>alert(1)</script>/`, {
      headers: { accept: 'text/html' },
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await answer.text()).not.toContain('<script>');
  });

  // Hosts by every rule, and yet none that `new URL` takes.
  test.each(['a:99999', '[1]'])(
    'Host: %s starts an instance, and is refused by the API',
    async (host) => {
      for (const query of ['', '?redirect=0']) {
        const socket = connect(Number(new URL(site.publicUrls[0] ?? '').port), '127.0.0.1');
        onTestFinished(() => void socket.destroy());
        socket.write(
          `GET /demo/new${query} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        );
        expect(await text(socket)).toMatch(query === '' ? /^HTTP\/1\.1 307 / : /^HTTP\/1\.1 200 /);
      }
      const list = connect(Number(new URL(site.adminUrls[0] ?? '').port), '127.0.0.1');
      onTestFinished(() => void list.destroy());
      const token = `Authorization: Bearer ${TOKEN}\r\n`;
      list.write(
        `GET /v1/instances HTTP/1.1\r\nHost: ${host}\r\n${token}Connection: close\r\n\r\n`,
      );
      expect(await text(list)).toMatch(/^HTTP\/1\.1 421 /);
    },
  );

  test('no token, a wrong token: 401; another method: 405', async () => {
    const url = `${site.adminUrls[0]}/v1/instances`;
    expect((await fetch(url)).status).toBe(401);
    expect((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}x` } })).status).toBe(401);
    const answer = await site.api('PUT', '/v1/instances', {});
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toContain('POST');
    expect((await fetch(`${site.publicUrls[0]}/demo/new`, { method: 'DELETE' })).status).toBe(405);
    expect((await fetch(`${site.publicUrls[0]}/demo/new`, { method: 'HEAD' })).status).toBe(405);
  });

  test('a list query that is wrong: 400 with each fault', async () => {
    const answer = await site.api('GET', '/v1/instances?limit=0&cursor=x&sort=up');
    expect(answer.status).toBe(400);
    expect(await answer.text()).toMatch(/limit.*cursor.*sort|sort/s);
  });

  test.each([
    ['no-image', /is not on this host/],
    ['exits', /exited with code 7.*I cannot go on/s],
    ['never-ready', /not ready within 4 s. Port 8080 refused.*waiting for nothing/s],
  ])(
    'a template that cannot start (%s): the reason, and the container’s last lines',
    async (template, reason) => {
      const answer = await site.api('POST', '/v1/instances', { template }, { prefer: 'wait=30' });
      expect(answer.status).toBe(502);
      expect(((await answer.json()) as { detail: string }).detail).toMatch(reason);
    },
  );

  test('after all this, everything still works', async () => {
    const ready = await fetch(`${site.adminUrls[0]}/readyz`);
    expect(await ready.json()).toMatchObject({ ready: true });
    expect((await site.api('POST', '/v1/instances', {}, { prefer: 'wait=30' })).status).toBe(201);
  });
});

describe('starts', () => {
  async function start(
    app: string,
    env: Record<string, string>,
  ): Promise<{ code: number | null; errors: string }> {
    const child = spawn(process.execPath, [join(root, `apps/${app}/src/main.ts`)], {
      cwd: root,
      env: {
        PATH: process.env['PATH'],
        EPHEMERA_LOG_LEVEL: 'silent',
        EPHEMERA_ADMIN_TOKEN: TOKEN,
        ...env,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const code = new Promise<number | null>((resolve) => child.once('exit', resolve));
    return { errors: await text(child.stderr), code: await code };
  }

  test('every fault of the environment at once', async () => {
    const { code, errors } = await start('proxy', {
      EPHEMERA_PUBLIC_PORT: 'x',
      EPHEMERA_ADMIN_PORT: '70000',
      EPHEMERA_ADMIN_TOKEN: 'short',
      EPHEMERA_REDIS_URL: 'http://x',
      EPHEMERA_START_WAIT: 'soon',
    });
    expect(code).toBe(1);
    for (const name of ['PUBLIC_PORT', 'ADMIN_PORT', 'ADMIN_TOKEN', 'REDIS_URL', 'START_WAIT']) {
      expect(errors).toContain(`EPHEMERA_${name}: `);
    }
    expect(errors).not.toMatch(/^\s+at /m);
  });

  // The public port takes the same token, and would let a stranger try them out.
  test('no proxy with a token that can be guessed where strangers reach the public port', async () => {
    const { code, errors } = await start('proxy', {
      EPHEMERA_ADMIN_TOKEN: 'my-long-password-of-2026-x',
      EPHEMERA_HOST: '0.0.0.0',
    });
    expect(code).toBe(1);
    expect(errors).toMatch(
      /EPHEMERA_ADMIN_TOKEN: must not contain "password", and EPHEMERA_HOST 0\.0\.0\.0 is not loopback/,
    );
  });

  test('every fault of ephemera.yml at once, with its path', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'ephemera-config-'));
    try {
      const path = join(dir, 'ephemera.yml');
      await writeFile(
        path,
        `default: gone\ntemplates:\n  a: {image: x, port: 99999, timeout: soon}\n  b: {port: 80, limits: {memory: 1}}\n  c: {image: x, privileged: true}\n`,
      );
      const { code, errors } = await start('proxy', { EPHEMERA_CONFIG: path });
      expect(code).toBe(1);
      for (const at of [
        'templates.a.port',
        'templates.a.timeout',
        'templates.b.image',
        'templates.b.limits.memory',
        'templates.c.privileged',
      ]) {
        expect(errors).toContain(at);
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test.each(['proxy', 'worker'])('Redis absent: %s says where it looked, and ends', async (app) => {
    const url = `redis://:secret@127.0.0.1:${await freePort()}/0`;
    const { code, errors } = await start(app, { EPHEMERA_REDIS_URL: url });
    expect(code).toBe(1);
    expect(errors).toMatch(/Redis does not answer at redis:.*ECONNREFUSED/);
    expect(errors).not.toContain('secret');
    expect(errors.trim().split('\n')).toHaveLength(1);
  });

  test('Docker absent: the worker says where it looked, and ends', async () => {
    const site = await deploy({ templates: TEMPLATES, workers: 0, proxies: 1 });
    try {
      const { code, errors } = await start('worker', {
        EPHEMERA_REDIS_URL: site.redis.url,
        DOCKER_HOST: 'unix:///nowhere/docker.sock',
      });
      expect(code).toBe(1);
      expect(errors).toMatch(/Docker does not answer at unix:\/\/\/nowhere\/docker.sock/);
      // Without a worker the whole job would not work, and the replica says so.
      const ready = await fetch(`${site.adminUrls[0]}/readyz`);
      expect(ready.status).toBe(503);
      expect(await ready.json()).toMatchObject({ parts: { worker: false } });
    } finally {
      await site.stop();
    }
  });
});

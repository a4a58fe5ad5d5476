import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type App, type Deployment, deploy, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { containersOf } from './docker-cli.ts';

// A process is asked to stop in the midst of its work.

const COMMON = `image: ephemera/demo
    port: 8080
    timeout: 5m
    limits: { memory: 32m, pids: 32 }
    readOnly: true
    tmpfs: { /tmp: 8m }`;
const TEMPLATES = `
default: demo
templates:
  demo:
    ${COMMON}
    ready: { http: /id, within: 2m }
    stopGrace: 0s
  never-serves:
    ${COMMON}
    stopGrace: 0s
    ready: { http: /id, within: 2m }
    command: [sleep, '600']
  never-answers:
    ${COMMON}
    stopGrace: 0s
    ready: tcp
    command: [nc, -ll, -p, '8080', -e, sleep, '600']
`;

/** Several starts one after the other, on a machine that may have much to do. */
const SLOW = 240_000;

let site: Deployment;
beforeAll(async () => {
  site = await deploy({ templates: TEMPLATES });
});
afterAll(() => site.stop());

const create = async (template: string): Promise<string> => {
  const answer = await site.api('POST', '/v1/instances', { template });
  return ((await answer.json()) as { id: string }).id;
};
const stateOf = async (id: string): Promise<string> => {
  const answer = await site.api('GET', `/v1/instances/${id}`);
  return ((await answer.json()) as { status: { state: string } }).status.state;
};
const isReady = (id: string) =>
  waitFor('ready', async () => (await stateOf(id)) === 'ready', 120_000);
const lastWorker = (): App => {
  const worker = site.workers.at(-1);
  if (!worker) throw new Error('there is no worker');
  return worker;
};
const ended = ({ child }: App) =>
  new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
/** Asks a process to stop, and again once it is at it; gives the code that it ended with. */
const stopTwice = async (app: App, second: 'SIGTERM' | 'SIGINT'): Promise<number | null> => {
  const code = ended(app);
  app.child.kill('SIGTERM');
  await waitFor('the stop to begin', () => app.log().includes('"msg":"stopping"'));
  app.child.kill(second);
  return code;
};

test(
  'what it has begun is finished or handed back: everybody gets his instance',
  async () => {
    const worker = lastWorker();
    const ids = await Promise.all(Array.from({ length: 2 }, () => create('demo')));
    await waitFor('the first start', () => worker.log().includes('spawn begins'));
    const code = ended(worker);
    worker.child.kill('SIGTERM');
    expect(await code).toBe(0);
    expect(worker.log()).toContain('"msg":"stopped"');

    await site.startWorker();
    for (const id of ids) await isReady(id);
    expect(await containersOf(site.namespace)).toHaveLength(2);
  },
  SLOW,
);

// Its drain waits for the start that it is at, which does not end within the time that it has.
test.each(['SIGTERM', 'SIGINT'] as const)(
  'a worker in the midst of its drain ends at once at %s, and not as if it were done',
  async (second) => {
    const worker = lastWorker();
    const id = await create('never-serves');
    await waitFor('its start', () => worker.log().includes(id));
    expect(await stopTwice(worker, second)).toBe(1);
    expect(worker.log()).not.toContain('"msg":"stopped"');
    await site.startWorker();
    await site.api('DELETE', `/v1/instances/${id}`);
  },
  SLOW,
);

test(
  'so does a proxy',
  async () => {
    const proxy = await site.startProxy();
    const id = await create('never-answers');
    await isReady(id);
    const held = request(`${site.publicUrls.at(-1)}/demo/${id}/`).end();
    const cut = new Promise((resolve) => held.once('error', resolve));
    await waitFor('the request', async () => {
      const metrics = await (await site.api('GET', '/metrics', undefined, {}, 1)).text();
      return /^ephemera_requests_in_flight(\{.*\})? 1$/m.test(metrics);
    });
    expect(await stopTwice(proxy, 'SIGINT')).toBe(1);
    expect(proxy.log()).not.toContain('"msg":"stopped"');
    await cut;
    await site.api('DELETE', `/v1/instances/${id}`);
  },
  SLOW,
);

test(
  'what is asked of a proxy when it is told to stop is answered, and what has no end is ended',
  async () => {
    const replica = site.proxies.length;
    const proxy = await site.startProxy({ env: { EPHEMERA_DRAIN: '60s' } });
    const waiting = await create('never-serves');
    const of = (path: string) => site.api('GET', path, undefined, {}, replica);
    const page = `${site.publicUrls[replica]}/demo/-/${waiting}/events`;
    const streams = await Promise.all([
      of('/v1/events'),
      of(`/v1/instances/${waiting}/logs?follow=true`),
      fetch(page),
    ]);
    const texts = Promise.all(streams.map((stream) => stream.text()));
    // Nothing starts meanwhile.
    lastWorker().child.kill('SIGSTOP');
    const wait = { prefer: 'wait=3' };
    const waited = site.api('POST', '/v1/instances', { template: 'demo' }, wait, replica);
    await waitFor('the creation', () => proxy.log().includes('"template":"demo"'));
    const code = ended(proxy);
    proxy.child.kill('SIGTERM');
    const [, , steps] = await texts;
    // The page's stream comes again by itself: told that it is over, the page would load anew.
    expect(steps).toContain('event: step');
    expect(steps).not.toContain('event: over');
    const answer = await waited;
    expect(answer.status).toBe(202);
    expect(answer.headers.get('connection')).toBe('close');
    expect(await code).toBe(0);
    lastWorker().child.kill('SIGCONT');
    await site.api('DELETE', `/v1/instances/${waiting}`);
  },
  SLOW,
);

test(
  'so is a visitor at the entrance',
  async () => {
    const replica = site.proxies.length;
    const proxy = await site.startProxy({}, replica);
    const redis = new Redis(site.redis.url);
    onTestFinished(() => redis.disconnect());
    // Whoever is to write waits, and the creation with them, until the proxy gives it up.
    await redis.call('CLIENT', 'PAUSE', '10000', 'WRITE');
    const visit = request(`${site.publicUrls[replica]}/demo/new`, {
      method: 'POST',
      headers: { expect: '100-continue' },
    });
    const answer = once(visit, 'response').then(
      ([response]) => (response as IncomingMessage).statusCode,
    );
    visit.flushHeaders();
    await once(visit, 'continue');
    const code = ended(proxy);
    proxy.child.kill('SIGTERM');
    visit.end();
    // The admin port closes last, when nobody is waited for any more.
    const closed = waitFor('the admin port to close', () =>
      fetch(`http://127.0.0.1:${proxy.port}/healthz`).then(
        () => false,
        () => 'closed before an answer',
      ),
    );
    expect(await Promise.race([answer, closed])).toBe(503);
    await redis.call('CLIENT', 'UNPAUSE');
    expect(await code).toBe(0);
  },
  SLOW,
);

test(
  'a worker in the midst of its drain says that it takes no more work',
  async () => {
    const worker = lastWorker();
    const id = await create('never-serves');
    await waitFor('its start', () => worker.log().includes(id));
    worker.child.kill('SIGTERM');
    const answer = await waitFor('the stop to begin', async () => {
      const response = await fetch(`http://127.0.0.1:${worker.port}/readyz`);
      return response.status === 503 && response;
    });
    expect(await answer.json()).toEqual({
      ready: false,
      parts: { redis: true, docker: true, running: false },
    });
    const code = ended(worker);
    worker.child.kill('SIGKILL');
    await code;
    await site.startWorker();
    await site.api('DELETE', `/v1/instances/${id}`);
  },
  SLOW,
);

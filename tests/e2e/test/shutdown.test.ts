import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type App, type Deployment, deploy, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { containersOf } from './docker-cli.ts';

// Processes receive a stop signal during their work.

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

/** Timeout for several successive starts on a busy machine. */
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
  if (!worker) throw new Error('no worker runs');
  return worker;
};
const ended = ({ child }: App) =>
  new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
/** Sends SIGTERM, then a second signal once the stop has begun. Returns the exit code. */
const stopTwice = async (app: App, second: 'SIGTERM' | 'SIGINT'): Promise<number | null> => {
  const code = ended(app);
  app.child.kill('SIGTERM');
  await waitFor('the stop to begin', () => app.log().includes('"msg":"stopping"'));
  app.child.kill(second);
  return code;
};

test(
  'a stopping worker completes or requeues its starts, and all instances become ready',
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

// The drain waits for a start that does not complete within the drain timeout.
test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s during its drain makes a worker exit at once with code 1',
  async (second) => {
    const worker = lastWorker();
    const id = await create('never-serves');
    await waitFor('the start of the instance', () => worker.log().includes(id));
    expect(await stopTwice(worker, second)).toBe(1);
    expect(worker.log()).not.toContain('"msg":"stopped"');
    await site.startWorker();
    await site.api('DELETE', `/v1/instances/${id}`);
  },
  SLOW,
);

test(
  'SIGINT during its drain makes a proxy exit at once with code 1',
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
  'a stopping proxy answers requests in flight and ends streams',
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
    // The suspended worker starts no further instance.
    lastWorker().child.kill('SIGSTOP');
    const wait = { prefer: 'wait=3' };
    const waited = site.api('POST', '/v1/instances', { template: 'demo' }, wait, replica);
    await waitFor('the creation', () => proxy.log().includes('"template":"demo"'));
    const code = ended(proxy);
    proxy.child.kill('SIGTERM');
    const [, , steps] = await texts;
    // The event stream of the page reconnects. After `event: over` the page would reload.
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
  'a stopping proxy answers a visitor on the launch page',
  async () => {
    const replica = site.proxies.length;
    const proxy = await site.startProxy({}, replica);
    const redis = new Redis(site.redis.url);
    onTestFinished(() => redis.disconnect());
    // Blocks writes and with them the creation, until the proxy cancels it.
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
    // The admin port closes last, after all requests have been answered.
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
  'a draining worker is not ready',
  async () => {
    const worker = lastWorker();
    const id = await create('never-serves');
    await waitFor('the start of the instance', () => worker.log().includes(id));
    worker.child.kill('SIGTERM');
    const answer = await waitFor('the stop to begin', async () => {
      const response = await fetch(`http://127.0.0.1:${worker.port}/readyz`);
      return response.status === 503 && response;
    });
    expect(await answer.json()).toEqual({
      ready: false,
      parts: { redis: true, docker: true, networks: true, running: false },
      config: { isCurrent: true, issues: [] },
    });
    const code = ended(worker);
    worker.child.kill('SIGKILL');
    await code;
    await site.startWorker();
    await site.api('DELETE', `/v1/instances/${id}`);
  },
  SLOW,
);

import { request as httpRequest } from 'node:http';
import type { ClientRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Deployment, deploy } from './deployment.ts';

// Leases: renewed, shortened, limited by their ceiling, and ended early when idle.

interface Resource {
  readonly id: string;
  readonly status: { readonly state: string; readonly reason?: string };
  readonly createdAt: string;
  readonly startedAt: string;
  readonly expiresAt: string;
  readonly maxExpiresAt: string;
}

let site: Deployment;

beforeAll(async () => {
  const demo = `{image: ephemera/demo, port: 8080, stopGrace: 0s, limits: {memory: 32m}, readOnly: true, tmpfs: {/tmp: 8m}`;
  site = await deploy({
    proxies: 2,
    templates: `
default: demo
templates:
  demo: ${demo}, timeout: 20s, maxTimeout: 60s}
  connections: ${demo}, timeout: 5m, idleTimeout: 2s}
  requests: ${demo}, timeout: 5m, idleTimeout: 2s, activity: requests}
  client-bytes: ${demo}, timeout: 5m, idleTimeout: 2s, activity: client-bytes}
`,
  });
});
afterAll(() => site.stop());

async function start(body: object): Promise<Resource> {
  const answer = await site.api('POST', '/v1/instances', body, { prefer: 'wait=30' });
  expect(answer.status).toBe(201);
  return (await answer.json()) as Resource;
}

async function read(id: string): Promise<Resource> {
  return (await (await site.api('GET', `/v1/instances/${id}`)).json()) as Resource;
}

async function renew(id: string, body: object): Promise<Resource> {
  const answer = await site.api('POST', `/v1/instances/${id}/renew`, body);
  expect(answer.status).toBe(200);
  return (await answer.json()) as Resource;
}

/** Sends a request with an incomplete body, which keeps the request open. */
function holdOpen(url: string): ClientRequest {
  const request = httpRequest(url, { method: 'POST', headers: { 'content-length': 10 } });
  request.on('error', () => undefined);
  request.write('.');
  return request;
}

const until = (time: string) => Date.parse(time);

describe('renewal', () => {
  test('the TTL starts when the instance is ready, and a renewal postpones the kill', async () => {
    const made = await start({ timeout: 3 });
    expect(until(made.expiresAt) - until(made.startedAt)).toBe(3000);
    const renewed = await renew(made.id, { timeout: 7 });
    expect(until(renewed.expiresAt)).toBeGreaterThan(until(made.expiresAt) + 2000);
    await waitFor('the first deadline', () => Date.now() > until(made.expiresAt) + 1000);
    // Both replicas have received the new deadline.
    for (const base of site.publicUrls) {
      expect(await (await fetch(`${base}/demo/${made.id}/id`)).text()).toBe(made.id);
    }
    const gone = await waitFor('the end of the instance', async () => {
      const now = await read(made.id);
      return now.status.state === 'gone' && now;
    });
    expect(gone.status.reason).toBe('ttl');
    expect(gone.expiresAt).toBe(renewed.expiresAt);
  });

  test('a renewal makes the deadline earlier only with shorten, and the kill follows', async () => {
    const made = await start({});
    const refused = await site.api('POST', `/v1/instances/${made.id}/renew`, { timeout: 1 });
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({
      type: 'urn:ephemera:problem:renewal_earlier',
      expiresAt: made.expiresAt,
    });
    expect((await read(made.id)).expiresAt).toBe(made.expiresAt);
    const sooner = await renew(made.id, { timeout: 1, shorten: true });
    expect(until(sooner.expiresAt)).toBeLessThan(until(made.expiresAt));
    expect(sooner).toMatchObject({
      renewal: { outcome: 'shortened', previousExpiresAt: made.expiresAt, isAtMaximum: false },
    });
    await waitFor(
      'the end of the instance',
      async () => (await read(made.id)).status.state === 'gone',
      10_000,
    );
    expect(Date.now()).toBeLessThan(until(made.expiresAt));
  });

  test('no renewal exceeds the ceiling, and requests do not renew', async () => {
    const made = await start({});
    expect(until(made.maxExpiresAt) - until(made.createdAt)).toBe(60_000);
    for (const outcome of ['extended', 'unchanged']) {
      expect(await renew(made.id, { timeout: 60 })).toMatchObject({
        expiresAt: made.maxExpiresAt,
        renewal: { outcome, isAtMaximum: true },
      });
    }
    const late = new Date(until(made.maxExpiresAt) + 1000).toISOString();
    const refused = await site.api('POST', `/v1/instances/${made.id}/renew`, { expiresAt: late });
    expect(refused.status).toBe(400);
    const before = await read(made.id);
    await fetch(`${site.publicUrls[0]}/demo/${made.id}/id`);
    expect((await read(made.id)).expiresAt).toBe(before.expiresAt);
  });

  /** The instance whose renewals are refused. */
  let refusing: Promise<Resource> | undefined;

  test.each([
    ['a timeout of zero', { timeout: 0 }],
    ['no deadline', {}],
    ['both a timeout and a time', { timeout: 5, expiresAt: '2030-01-01T00:00:00Z' }],
    ['a time in the past', { expiresAt: '2020-01-01T00:00:00Z' }],
    ['an invalid time', { expiresAt: 'soon' }],
    ['an unknown field', { timeout: 5, force: true }],
  ])('%s: 400', async (_, body) => {
    const { id } = await (refusing ??= start({ timeout: 60 }));
    expect((await site.api('POST', `/v1/instances/${id}/renew`, body)).status).toBe(400);
  });

  test('renewal of an ended instance answers 410, of an unknown id 404', async () => {
    const { id } = await start({ timeout: 1 });
    await waitFor('the end of the instance', async () => (await read(id)).status.state === 'gone');
    expect((await site.api('POST', `/v1/instances/${id}/renew`, { timeout: 5 })).status).toBe(410);
    const never = 'a'.repeat(26);
    expect((await site.api('POST', `/v1/instances/${never}/renew`, { timeout: 5 })).status).toBe(
      404,
    );
  });
});

// The tests only wait, each for its own instances.
describe.concurrent('idleness', () => {
  const ended = (id: string) =>
    waitFor('the end of the instance', async () => {
      const now = await read(id);
      return now.status.state === 'gone' && now.status.reason;
    });

  test('an unused instance ends before its deadline with the reason idle', async () => {
    const { id } = await start({ template: 'connections' });
    expect(await ended(id)).toBe('idle');
  });

  test('an open request counts as activity on either replica', async () => {
    const { id } = await start({ template: 'connections' });
    const held = holdOpen(`${site.publicUrls[1]}/demo/${id}/cgi-bin/echo`);
    // Longer than the idle timeout plus the tolerance for unreported activity.
    await sleep(9000);
    expect((await read(id)).status.state).toBe('ready');
    held.destroy();
    expect(await ended(id)).toBe('idle');
  });

  test('requests with a status below 300 count as activity, others do not', async () => {
    const [used, unused] = await Promise.all([
      start({ template: 'requests' }),
      start({ template: 'requests' }),
    ]);
    const base = site.publicUrls[0];
    const end = Date.now() + 9000;
    while (Date.now() < end) {
      expect((await fetch(`${base}/demo/${used.id}/id`)).status).toBe(200);
      await fetch(`${base}/demo/${unused.id}/there-is-none`);
      await sleep(500);
    }
    expect((await read(used.id)).status.state).toBe('ready');
    expect((await read(unused.id)).status.reason).toBe('idle');
  });

  test('bytes from clients count as activity, an open connection alone does not', async () => {
    const { id } = await start({ template: 'client-bytes' });
    const held = holdOpen(`${site.publicUrls[0]}/demo/${id}/cgi-bin/echo`);
    expect(await ended(id)).toBe('idle');
    held.destroy();
  });
});

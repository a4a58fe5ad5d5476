import { writeFile } from 'node:fs/promises';
import { hashToken } from '@ephemera/http';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// Several may use the control API, each for what its token is for.

const READER = 'eph_reader-0123456789';
const MAKER = 'eph_maker-0123456789';
const OTHER = 'eph_other-maker-0123456789';
const BUSY = 'eph_busy-0123456789';
const REPLACED = 'eph_the-one-that-replaces-it';

const templates = `
limits: { perToken: 2, ratePerToken: 20/1h }
templates:
  demo: { image: ephemera/demo, port: 8080, stopGrace: 0s, tmpfs: { /tmp: 8m } }
`;
const withTokens = (maker: readonly string[], more = '') => `${templates}
tokens:
  reader: { hash: '${hashToken(READER)}', scopes: [read] }
  maker: { hash: [${maker.map((text) => `'${hashToken(text)}'`).join(', ')}], scopes: [create] }
  other: { hash: '${hashToken(OTHER)}', scopes: [create] }
  busy: { hash: '${hashToken(BUSY)}', scopes: [create] }
${more}`;

let site: Deployment;

beforeAll(async () => {
  site = await deploy({ templates: withTokens([MAKER]), dashboard: true });
});
afterAll(() => site.stop());

const as = (token: string, method: string, path: string, body?: unknown) =>
  site.api(method, path, body, { authorization: `Bearer ${token}` });
const status = async (token: string, method: string, path: string, body?: unknown) =>
  (await as(token, method, path, body)).status;

/**
 * Replaces the configuration and waits until every proxy has read it. Trying a token until it works
 * would be limited like any other guessing.
 */
async function reconfigure(text: string): Promise<void> {
  const reads = () =>
    site.proxies.map((proxy) => proxy.log().split('configuration reloaded').length - 1);
  const before = reads();
  await writeFile(site.config, text);
  await waitFor('the reload', () => reads().every((count, i) => count > (before[i] ?? 0)));
}

async function make(token: string): Promise<string> {
  const made = await as(token, 'POST', '/v1/instances', {});
  expect(made.status).toBe(202);
  return ((await made.json()) as { id: string }).id;
}

test('each scope opens what it is for, and 401 and 403 are told apart', async () => {
  const id = await make(TOKEN);
  const asked = [
    ['GET', '/v1/instances'],
    ['GET', `/v1/instances/${id}`],
    ['GET', '/metrics'],
    ['GET', '/v1/templates'],
    ['POST', `/v1/instances/${id}/renew`],
    ['DELETE', `/v1/instances/${id}`],
    ['DELETE', '/v1/instances'],
  ] as const;
  const by = (token: string) =>
    Promise.all(asked.map(([method, path]) => status(token, method, path)));
  expect(await by('eph_nobody')).toEqual(asked.map(() => 401));
  expect(await by(READER)).toEqual([200, 200, 200, 200, 403, 403, 403]);
  expect(await by(MAKER)).toEqual([403, 403, 403, 200, 403, 403, 403]);
  expect(await status(READER, 'POST', '/v1/instances', {})).toBe(403);
  const refused = await as(READER, 'DELETE', '/v1/instances');
  expect(refused.headers.get('content-type')).toBe('application/problem+json');
  expect(refused.headers.get('www-authenticate')).toContain('insufficient_scope');
  expect(await refused.json()).toMatchObject({ type: 'urn:ephemera:problem:forbidden' });
  await as(TOKEN, 'DELETE', `/v1/instances/${id}`);
});

test('who may create sees, renews and ends what is its own, and nothing else', async () => {
  const [own, foreign] = [await make(MAKER), await make(OTHER)];
  const unknown = own.replace(/.$/, own.endsWith('a') ? 'b' : 'a');
  await waitFor('it to be ready', async () => {
    const seen = (await (await as(MAKER, 'GET', `/v1/instances/${own}`)).json()) as {
      status: { state: string };
    };
    return seen.status.state === 'ready';
  });
  expect(await status(MAKER, 'POST', `/v1/instances/${own}/renew`, { timeout: 1_800 })).toBe(200);
  expect(await status(MAKER, 'GET', `/v1/instances/${own}/logs`)).toBe(200);
  // The instance of another token and an unknown id get the same response.
  const answers = [];
  for (const id of [foreign, unknown]) {
    const answer = await as(MAKER, 'GET', `/v1/instances/${id}`);
    answers.push([answer.status, await answer.text()]);
  }
  expect(answers[0]).toEqual(answers[1]);
  expect(answers[0]?.[0]).toBe(403);
  expect(await status(MAKER, 'DELETE', `/v1/instances/${foreign}`)).toBe(403);
  expect(await status(MAKER, 'DELETE', `/v1/instances/${own}`)).toBe(202);
  await waitFor('its end', async () => {
    const seen = (await (await as(MAKER, 'GET', `/v1/instances/${own}`)).json()) as {
      status: { state: string };
    };
    return seen.status.state === 'gone';
  });
  expect(await status(OTHER, 'DELETE', `/v1/instances/${foreign}`)).toBe(202);
});

test('the dashboard is for who may look', async () => {
  const seen = (token: string, path = '/dashboard/instances') =>
    fetch(`${site.dashboardUrl ?? ''}${path}`, { headers: { authorization: `Bearer ${token}` } });
  expect((await seen(READER)).status).toBe(200);
  expect((await seen(TOKEN)).status).toBe(200);
  expect((await seen(MAKER)).status).toBe(403);
  expect((await seen('eph_nobody')).status).toBe(401);
});

test('a token is replaced without a restart and without a gap, and keeps its account', async () => {
  const first = await make(MAKER);
  await reconfigure(withTokens([MAKER, REPLACED]));
  expect(await status(REPLACED, 'GET', '/v1/templates')).toBe(200);
  expect(await status(MAKER, 'GET', '/v1/templates')).toBe(200);
  expect(await status(REPLACED, 'GET', `/v1/instances/${first}`)).toBe(200);
  const second = await make(REPLACED);
  expect(await status(MAKER, 'POST', '/v1/instances', {})).toBe(429);
  await reconfigure(withTokens([REPLACED]));
  expect(await status(MAKER, 'GET', '/v1/templates')).toBe(401);
  for (const id of [first, second]) {
    expect(await status(REPLACED, 'DELETE', `/v1/instances/${id}`)).toBe(202);
  }
});

// It was asked for with a token that counted then.
test('a stream of events and a log that is followed end with the token that opened them', async () => {
  const WATCHER = 'eph_watcher-0123456789';
  const watcher = `  watcher: { hash: '${hashToken(WATCHER)}', scopes: [read] }\n`;
  await reconfigure(withTokens([MAKER], watcher));
  const id = await make(TOKEN);
  const follow = async (token: string, path: string) => {
    const answer = await as(token, 'GET', path);
    const stream = { status: answer.status, ended: false };
    void answer.text().then(
      () => (stream.ended = true),
      () => undefined,
    );
    return stream;
  };
  const logs = `/v1/instances/${id}/logs?follow=true`;
  const lost = [await follow(WATCHER, '/v1/events'), await follow(WATCHER, logs)];
  const kept = [await follow(TOKEN, '/v1/events'), await follow(TOKEN, logs)];
  expect([...lost, ...kept].map((item) => item.status)).toEqual([200, 200, 200, 200]);
  await reconfigure(withTokens([MAKER]));
  await waitFor('their ends', () => lost.every(({ ended }) => ended));
  expect(kept.map(({ ended }) => ended)).toEqual([false, false]);
  await as(TOKEN, 'DELETE', `/v1/instances/${id}`);
});

test('a token that has asked too often waits, on either port, and no other does', async () => {
  const ask = (token: string) => as(token, 'POST', '/v1/instances', { template: 'none' });
  let answer = await ask(BUSY);
  let asked = 1;
  for (; answer.status === 400 && asked < 30; asked++) answer = await ask(BUSY);
  expect([answer.status, asked]).toEqual([429, 21]);
  expect(await answer.json()).toMatchObject({ type: 'urn:ephemera:problem:rate_limited' });
  expect(answer.headers.get('ratelimit-policy')).toBe('"token";q=20;w=3600');
  expect((await ask(OTHER)).status).toBe(400);
  const visit = (token: string) =>
    fetch(`${site.publicUrls[0]}/demo/new?redirect=0`, {
      headers: { authorization: `Bearer ${token}` },
    });
  expect((await visit(BUSY)).status).toBe(429);
  const started = await visit(OTHER);
  expect(started.status).toBe(200);
  await as(TOKEN, 'DELETE', `/v1/instances/${await started.text()}`);
});

test('no log has a token in it', () => {
  for (const app of [...site.proxies, ...site.workers]) {
    for (const token of [TOKEN, READER, MAKER, REPLACED]) expect(app.log()).not.toContain(token);
  }
  expect(site.proxies[0]?.log()).toContain('"by":"token:maker"');
});

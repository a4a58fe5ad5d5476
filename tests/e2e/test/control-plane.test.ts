import { connect } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// Tests that the public port gives no access to the control plane, and that the control plane
// handles hostile input.

let site: Deployment;
let host: string;
let port: number;
beforeAll(async () => {
  site = await deploy({
    dashboard: true,
    templates: `
templates:
  demo: { image: ephemera/demo, port: 8080, stopGrace: 0s, tmpfs: { /tmp: 8m } }
  loud:
    image: ephemera/demo
    port: 8080
    command: ['/bin/sh', '-c', 'printf "\\033]0;owned\\007\\ndata: forged\\n\\n<script>alert(1)</script>\\n"; exit 3']
`,
  });
  ({ host } = new URL(site.publicUrls[0] ?? ''));
  port = Number(host.split(':')[1]);
});
afterAll(() => site.stop());

/** Sends a raw request and returns everything that is received until the connection closes. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (data) => (answer += data.toString('latin1')));
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.write(bytes, 'latin1');
  });
}

/** Complete headers for the control API, so that only the port prevents access. */
const AUTHORIZED = `Authorization: Bearer ${TOKEN}\r\nAccept: application/json\r\n`;
const CONTROL = ['/v1/instances', '/v1/templates', '/openapi.json', '/metrics', '/readyz'];
const CONTROL_CONTENT = /"items"|"openapi"|process_cpu|"parts"/;

describe('the public port gives no access to the admin port', () => {
  test.each(CONTROL)('%s is not served, whatever the Host header is', async (path) => {
    const admin = new URL(site.adminUrls[0] ?? '').host;
    for (const name of [host, admin, 'localhost', 'localhost:8081', 'admin', '[::1]:8081']) {
      const answer = await exchange(
        `GET ${path} HTTP/1.1\r\nHost: ${name}\r\n${AUTHORIZED}Connection: close\r\n\r\n`,
      );
      expect(answer, name).toMatch(/^HTTP\/1\.1 404 /);
      expect(answer).not.toMatch(CONTROL_CONTENT);
    }
  });

  test.each([
    '/demo/../v1/instances',
    '/demo/new/../../v1/instances',
    '/demo/%2e%2e/v1/instances',
    '/demo/..%2fv1/instances',
    '/demo/-/../../v1/instances',
    '//v1/instances',
    '/./v1/instances',
    '/v1%2finstances',
    '/V1/instances',
    '/v1/instances;x',
    '/demo/\\..\\v1\\instances',
    'http://localhost:8081/v1/instances',
    'v1/instances',
    '*',
  ])('nor with the path %s', async (target) => {
    const answer = await exchange(
      `GET ${target} HTTP/1.1\r\nHost: localhost:8081\r\n${AUTHORIZED}Connection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(answer).not.toMatch(CONTROL_CONTENT);
  });

  test.each([
    [
      'Content-Length and Transfer-Encoding',
      'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['an unknown transfer coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['two Content-Length headers', 'Content-Length: 0\r\nContent-Length: 60\r\n\r\n'],
    ['a wrong Content-Length', 'Content-Length: 0\r\n\r\n'],
    ['an upgrade to h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n'],
  ])('nor by request smuggling with %s', async (_, fields) => {
    const hidden = `GET /v1/instances HTTP/1.1\r\nHost: localhost:8081\r\n${AUTHORIZED}Connection: close\r\n\r\n`;
    for (const path of ['/demo/new?redirect=0&template=none', `/demo/${'a'.repeat(26)}/`]) {
      const answer = await exchange(`POST ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}${hidden}`);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
      expect(answer).not.toMatch(CONTROL_CONTENT);
    }
  });

  test('nor with CONNECT or with forwarding headers', async () => {
    const admin = new URL(site.adminUrls[0] ?? '').host;
    const tunnel = await exchange(`CONNECT ${admin} HTTP/1.1\r\nHost: ${admin}\r\n\r\n`);
    expect(tunnel).toMatch(/^HTTP\/1\.1 405 /);
    const forwarded =
      'X-Forwarded-Host: localhost:8081\r\nX-Original-URL: /v1/instances\r\nX-Rewrite-URL: /v1/instances\r\n';
    const answer = await exchange(
      `GET / HTTP/1.1\r\nHost: ${host}\r\n${forwarded}${AUTHORIZED}Connection: close\r\n\r\n`,
    );
    expect(answer).not.toMatch(CONTROL_CONTENT);
  });
});

describe('input of the control API', () => {
  test('too large a body is refused', async () => {
    const env = { A: 'x'.repeat(300_000) };
    expect((await site.api('POST', '/v1/instances', { env })).status).toBe(413);
    const nested = `{"metadata":${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    expect((await site.api('POST', '/v1/instances', nested)).status).toBe(400);
    expect((await fetch(`${site.adminUrls[0]}/healthz`)).status).toBe(200);
  });

  test.each([
    '{"__proto__":{"template":"loud"}}',
    '{"constructor":{"prototype":{"template":"loud"}}}',
    '{"metadata":{"__proto__":"x"}}',
    '{"env":{"__proto__":"x"}}',
    '{"env":{"constructor":{"prototype":{"polluted":"yes"}}}}',
    '{"metadata":{"constructor":{"polluted":"yes"}}}',
  ])('%s changes no prototype', async (body) => {
    const answer = await site.api('POST', '/v1/instances', body);
    const reported = (await answer.json()) as { id?: string; template?: string };
    if (answer.ok) {
      expect(reported.template).toBe('demo');
      await site.api('DELETE', `/v1/instances/${reported.id}`);
    } else {
      expect(answer.status).toBe(400);
    }
    const after = (await (await site.api('GET', '/v1/templates')).json()) as object;
    expect(JSON.stringify(after)).not.toContain('polluted');
  });

  test('a template name equal to a property of Object is unknown', async () => {
    for (const template of ['__proto__', 'constructor', 'toString']) {
      expect((await site.api('POST', '/v1/instances', { template })).status).toBe(400);
      const visitor = await fetch(`${site.publicUrls[0]}/demo/new?template=${template}`);
      expect(visitor.status).toBe(400);
    }
  });

  test('metadata with line breaks is refused', async () => {
    const metadata = { note: 'a\r\nSet-Cookie: forged=1\r\n\r\nevent: forged\ndata: forged\n\n' };
    const refused = await site.api('POST', '/v1/instances', { metadata });
    expect(refused.status).toBe(400);
    expect(refused.headers.get('set-cookie')).toBeNull();
    expect(await refused.json()).toMatchObject({
      faults: [{ path: 'metadata.note', detail: expect.stringContaining('line break') as string }],
    });
  });

  test('container output is plain text in problem details, and not on pages of visitors', async () => {
    const made = await site.api(
      'POST',
      '/v1/instances',
      { template: 'loud' },
      { prefer: 'wait=30' },
    );
    expect(made.status).toBe(502);
    const problem = await made.text();
    expect(problem).toContain('forged');
    expect((JSON.parse(problem) as { detail: string }).detail).not.toMatch(/[\p{Cc}--[\n\t]]/v);
    const page = await fetch(`${site.publicUrls[0]}/demo/${lastFailed()}/`, {
      headers: { accept: 'text/html' },
    });
    // The output is for the operator only.
    const html = await page.text();
    expect(html).toContain('could not be started');
    expect(html).not.toContain('alert(1)');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  function lastFailed(): string {
    const log = site.proxies[0]?.log() ?? '';
    const made = log
      .split('\n')
      .filter((line) => line.includes('"template":"loud"'))
      .map((line) => (JSON.parse(line) as { id: string }).id);
    return made.at(-1) ?? '';
  }
});

/** Audit log entries that contain a word. */
const entriesWith = (word: string) =>
  (site.proxies[0]?.log() ?? '')
    .split('\n')
    .filter((line) => line.includes('"administrative act"') && line.includes(word))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const entriesOf = (id: string) =>
  entriesWith(id).map(({ by, action, status, result, address }) => [
    by,
    action,
    status,
    result,
    address,
  ]);
const creations = () =>
  entriesWith('"instance.create"').map(({ by, id, status, result, address }) => {
    return [by, id, status, result, address];
  });

test('every action is in the audit log with actor, action, instance, status and address', async () => {
  const made = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=30' });
  const { id } = (await made.json()) as { id: string };
  await site.api('POST', `/v1/instances/${id}/renew`, { timeout: 1_800 });
  await site.api('GET', `/v1/instances/${id}/logs`);
  await site.api('GET', `/v1/instances/${id}`);
  await site.api('DELETE', `/v1/instances/${id}`);
  await fetch(`${site.adminUrls[0]}/v1/instances/${id}`, { method: 'DELETE' });
  // A log line is written after its response.
  await waitFor('the last log line', () => entriesOf(id).length >= 5);
  const from = '127.0.0.1';
  expect(entriesOf(id)).toEqual([
    ['admin', 'instance.create', 201, 'done', from],
    ['admin', 'instance.renew', 200, 'done', from],
    ['admin', 'instance.read-log', 200, 'done', from],
    ['admin', 'instance.end', 202, 'done', from],
    ['nobody', 'instance.end', 401, 'refused', from],
  ]);
});

// The audit log did not recognize some paths that the router accepted: a trailing slash, capital
// letters, and percent-encoding.
test('no spelling of a path reads a log or kills an instance without an audit entry', async () => {
  const made = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=30' });
  const { id } = (await made.json()) as { id: string };
  const encoded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
  const status = async (method: string, path: string) =>
    (await site.api(method, `/v1/instances/${path}`)).status;
  expect(await status('GET', `${id}/logs/`)).toBe(404);
  expect(await status('GET', `${id}/LOGS`)).toBe(404);
  expect((await site.api('GET', `/V1/instances/${id}/logs`)).status).toBe(404);
  expect(await status('DELETE', `${id}/`)).toBe(404);
  expect(await status('GET', `${encoded}/logs`)).toBe(200);
  expect(await status('DELETE', encoded)).toBe(202);
  await waitFor('the last log line', () => entriesOf(id).length >= 4);
  expect(entriesOf(id).map(([by, action, status]) => [by, action, status])).toEqual([
    ['admin', 'instance.create', 201],
    ['admin', `DELETE /v1/instances/${id}/`, 404],
    ['admin', 'instance.read-log', 200],
    ['admin', 'instance.end', 202],
  ]);
});

test('the audit log contains starts on the public port with a valid or invalid token', async () => {
  const begin = (token: string, query: string) =>
    fetch(`${site.publicUrls[0]}/demo/new?redirect=0${query}`, {
      headers: { authorization: `Bearer ${token}` },
    });
  const before = creations().length;
  const id = await (await begin(TOKEN, '')).text();
  await begin('eph_nobody-of-all-of-these', '&template=loud');
  const starts = () => creations().slice(before);
  await waitFor('the last log line', () => starts().length >= 2);
  expect(starts()).toEqual([
    ['admin', id, 200, 'done', '127.0.0.1'],
    ['nobody', undefined, 401, 'refused', '127.0.0.1'],
  ]);
  // A start without a token is not an administrative action.
  await fetch(`${site.publicUrls[0]}/demo/new?redirect=0`);
  await begin('eph_nobody-either', '');
  await waitFor('the last log line', () => starts().length >= 3);
  expect(starts()).toHaveLength(3);
  await site.api('DELETE', `/v1/instances/${id}`);
});

test('the proxy sets security headers on its own responses, not on those of instances', async () => {
  const id = await (await fetch(`${site.publicUrls[0]}/demo/new?redirect=0`)).text();
  const own = await fetch(`${site.publicUrls[0]}/demo/${id}/id`);
  for (const name of ['content-security-policy', 'x-frame-options', 'referrer-policy']) {
    expect(own.headers.get(name), name).toBeNull();
  }
  const html = { accept: 'text/html' };
  const gone = `${site.publicUrls[0]}/demo/${'a'.repeat(26)}/`;
  for (const [url, headers] of [
    [`${site.publicUrls[0]}/`, html],
    [gone, html],
    [gone, {}],
    [`${site.publicUrls[0]}/nowhere`, html],
    [`${site.publicUrls[0]}/nowhere`, {}],
    [`${site.adminUrls[0]}/healthz`, {}],
    [`${site.adminUrls[0]}/v1/instances`, html],
    [`${site.dashboardUrl}/dashboard/login`, html],
  ] as const) {
    const answer = await fetch(url, { headers });
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy, url).toMatch(/default-src 'none'.*frame-ancestors/);
    expect(policy, url).not.toMatch(/script-src[^;]*unsafe/);
    expect(answer.headers.get('x-content-type-options'), url).toBe('nosniff');
    expect(answer.headers.get('cache-control'), url).toBe('no-store');
    expect(answer.headers.get('referrer-policy'), url).toMatch(
      /no-referrer|same-origin|strict-origin/,
    );
  }
});

// Last in the file, because it uses up the limit of wrong tokens for this address.
test('too many wrong tokens on the public port block the address, also for the right token', async () => {
  const begin = async (token: string) => {
    const authorization = `Bearer ${token}`;
    const answer = await fetch(`${site.publicUrls[0]}/demo/new?template=none&redirect=0`, {
      headers: { authorization },
    });
    await answer.text();
    return [answer.status, answer.headers.get('retry-after')];
  };
  // A valid token with an unknown template.
  expect(await begin(TOKEN)).toEqual([400, null]);
  await waitFor('the rate limit', async () => (await begin('a-guess-of-some-length'))[0] === 429);
  const [status, retryAfter] = await begin(TOKEN);
  expect(status).toBe(429);
  expect(Number(retryAfter)).toBeGreaterThan(0);
  expect(Number(retryAfter)).toBeLessThanOrEqual(60);
  const visitor = await fetch(`${site.publicUrls[0]}/demo/new?template=none`);
  expect(visitor.status).toBe(400);
});

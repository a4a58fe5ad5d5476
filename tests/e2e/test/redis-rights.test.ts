import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectRedis, requireRedis } from '@ephemera/store';
import { freePort, waitFor } from '@ephemera/test-support';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TOKEN, type Deployment, deploy } from './deployment.ts';

// A deployment on a Redis with TLS, client certificates, and a user with only the permissions of
// deploy/redis.acl.

const NAMESPACE = `rights-${process.pid}`;
const PASSWORD = 'a-password-that-no-log-may-show';
const TEMPLATES = `
limits: { ratePerAddress: 30/1m, ratePerToken: 600/1m }
templates:
  demo:
    image: ephemera/demo
    port: 8080
    idleTimeout: 5m
    stopGrace: 0s
    pool: 1
    readOnly: true
    limits: { memory: 64m }
    tmpfs: { /tmp: 8m }
webhooks:
  - { name: nobody, url: 'http://127.0.0.1:9/hook', secret: a-secret-that-no-log-may-show }
`;

const run = promisify(execFile);
let dir: string;
let site: Deployment;
let tlsUrl: string;
let tls: { ca: string; cert: string; key: string };

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'ephemera-tls-'));
  await makeCertificates();
  const port = await freePort();
  const rights = (await readFile(join(import.meta.dirname, '../../../deploy/redis.acl'), 'utf8'))
    .replace('user default off', 'user default on nopass ~* &* +@all')
    .replace('REPLACE-THIS-PASSWORD', PASSWORD)
    .replaceAll('{ephemera}', `{${NAMESPACE}}`);
  await writeFile(join(dir, 'users.acl'), rights);
  tlsUrl = `rediss://ephemera:${PASSWORD}@localhost:${port}/0`;
  const file = (name: string) => join(dir, name);
  site = await deploy({
    templates: TEMPLATES,
    dashboard: true,
    // The port without TLS is only for the checks of this test.
    redisArgs: [
      ...['--tls-port', String(port), '--tls-auth-clients', 'yes'],
      ...['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key')],
      ...['--tls-ca-cert-file', file('ca.crt'), '--aclfile', file('users.acl')],
    ],
    env: {
      EPHEMERA_NAMESPACE: NAMESPACE,
      EPHEMERA_REDIS_URL: tlsUrl,
      EPHEMERA_REDIS_CA: file('ca.crt'),
      EPHEMERA_REDIS_CERT: file('client.crt'),
      EPHEMERA_REDIS_KEY: file('client.key'),
    },
  });
  const pem = (name: string) => readFile(file(name), 'utf8');
  tls = { ca: await pem('ca.crt'), cert: await pem('client.crt'), key: await pem('client.key') };
});
afterAll(async () => {
  await site.stop();
  await rm(dir, { recursive: true, force: true });
});

async function makeCertificates(): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: dir });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const ca = ['-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=test authority', '-days', '2'];
  await openssl('req', '-x509', ...newKey, ...ca);
  await writeFile(join(dir, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1');
  for (const who of ['server', 'client']) {
    const request = ['-keyout', `${who}.key`, '-out', `${who}.csr`, '-subj', `/CN=${who}`];
    await openssl('req', ...newKey, ...request);
    const signed = ['-in', `${who}.csr`, '-out', `${who}.crt`, '-days', '2', '-extfile', 'names'];
    await openssl(
      'x509',
      '-req',
      ...signed,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
    );
  }
}

const stateOf = async (id: string) => {
  const answer = await site.api('GET', `/v1/instances/${id}`);
  return ((await answer.json()) as { status: { state: string } }).status.state;
};

test('these permissions suffice for all functions of Ephemera, and Redis refused no command', async () => {
  const made = await site.api('POST', '/v1/instances', {}, { prefer: 'wait=40' });
  expect(made.status).toBe(201);
  const { id } = (await made.json()) as { id: string };
  expect(await (await fetch(`${site.publicUrls[0]}/demo/${id}/id`)).text()).not.toBe('');
  for (const path of ['/logs', '/stats']) {
    expect((await site.api('GET', `/v1/instances/${id}${path}`)).status).toBe(200);
  }
  for (const path of ['/v1/instances?limit=2', '/v1/templates', '/v1/stats', '/metrics']) {
    expect((await site.api('GET', path)).status).toBe(200);
  }
  expect((await site.api('POST', `/v1/instances/${id}/renew`, { timeout: 1_800 })).status).toBe(
    200,
  );
  for (const action of ['pause', 'resume']) {
    expect((await site.api('POST', `/v1/instances/${id}/${action}`)).status).toBe(200);
  }
  const visitor = await (await fetch(`${site.publicUrls[0]}/demo/new?redirect=0`)).text();
  await waitFor(
    'the instance of the visitor',
    async () => (await stateOf(visitor)) === 'ready',
    40_000,
  );

  const board = (path: string, method = 'GET') =>
    fetch(`${site.dashboardUrl}${path}`, { method, headers: { authorization: `Bearer ${TOKEN}` } });
  expect((await board('/dashboard/instances')).status).toBe(200);
  const listed = await board('/dashboard/queues/api/queues');
  const { queues } = (await listed.json()) as { queues: { name: string }[] };
  const kills = queues.find(({ name }) => name.startsWith('instance-kill'))?.name ?? '';
  expect(
    (await board(`/dashboard/queues/api/queues?activeQueue=${kills}&status=delayed`)).status,
  ).toBe(200);
  for (const action of ['promote', 'pause', 'resume', 'clean/completed', 'retry/failed']) {
    const { status } = await board(`/dashboard/queues/api/queues/${kills}/${action}`, 'PUT');
    expect([200, 204], action).toContain(status);
  }

  for (const text of [id, visitor]) await site.api('DELETE', `/v1/instances/${text}`);
  await waitFor('the end of the instances', async () => {
    return (await stateOf(id)) === 'gone' && (await stateOf(visitor)) === 'gone';
  });
  const redis = new Redis(site.redis.url);
  const refused = await redis.call('ACL', 'LOG');
  redis.disconnect();
  expect(refused).toEqual([]);
});

test.each([
  [['GET', 'another:key']],
  [['SET', '{ephemera-of-others}:route:x', '1']],
  [['KEYS', '*']],
  [['FLUSHALL']],
  [['CONFIG', 'GET', 'dir']],
  [['ACL', 'LIST']],
  [['MONITOR']],
  [['SHUTDOWN']],
  [['PUBLISH', 'other', 'x']],
  [['EVAL', 'return redis.call("GET", "another:key")', '0']],
])('the user of Ephemera may not run %j', async (command) => {
  const redis = connectRedis({ url: tlsUrl, tls }, 'request', () => undefined);
  await requireRedis(redis, tlsUrl);
  const [name = '', ...args] = command;
  await expect(redis.call(name, ...args)).rejects.toThrow(/NOPERM|can't access/);
  redis.disconnect();
});

test('an untrusted certificate, a missing client certificate or a wrong password prevents a connection', async () => {
  const wrong = tlsUrl.replace(PASSWORD, 'another-password');
  for (const [url, own, reason] of [
    [tlsUrl, { ...tls, ca: undefined }, /certificate/i],
    [tlsUrl, { ca: tls.ca }, /closed|ECONNRESET|certificate|alert/i],
    [wrong, tls, /WRONGPASS/],
  ] as const) {
    const redis = connectRedis({ url, tls: own }, 'job', () => undefined);
    const reported = await requireRedis(redis, url).catch((error: unknown) => String(error));
    expect(reported).toMatch(reason);
    expect(reported).not.toMatch(/another-password|a-password/);
  }
});

test('no log shows a secret', () => {
  for (const app of [...site.proxies, ...site.workers]) {
    expect(app.log()).not.toMatch(/that-no-log-may-show/);
    expect(app.log()).not.toContain(TOKEN);
  }
});

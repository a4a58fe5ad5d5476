import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installed, startChild, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import {
  type Contender,
  installedModule,
  startCaddy,
  startHaproxy,
  startNginx,
} from '../src/contender.ts';
import { startEchoUpstream } from '../src/differential/clients/echo-upstream.ts';
import { type Replica, startTestbed, type Testbed } from '../src/testbed.ts';

const NAME = 'demos.example.org';
/** Replicas have the same ports, as on several machines. */
const HOSTS = ['127.0.0.1', '127.0.0.2'] as const;
const folder = mkdtempSync(join(tmpdir(), 'ephemera-balancers-'));
const key = join(folder, 'key');
const certificate = join(folder, 'certificate');
const large = join(folder, 'large');
const ENV = {
  EPHEMERA_DOMAIN: NAME,
  EPHEMERA_PUBLIC_URL: `https://${NAME}`,
  EPHEMERA_TRUSTED_PROXIES: '127.0.0.1',
  EPHEMERA_UNREADY: '3s',
  EPHEMERA_DRAIN: '5s',
};

let testbed: Testbed;
let upstream: Awaited<ReturnType<typeof startEchoUpstream>>;
let replicas: Replica[];
let id: string;
beforeAll(async () => {
  const openssl = await installed('openssl');
  execFileSync(
    openssl,
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-days', '1', '-subj', `/CN=${NAME}`, '-keyout', key, '-out', certificate],
      ...['-addext', `subjectAltName=DNS:${NAME},DNS:*.${NAME}`],
    ],
    { stdio: 'ignore' },
  );
  writeFileSync(
    join(folder, 'both'),
    readFileSync(certificate, 'utf8') + readFileSync(key, 'utf8'),
  );
  writeFileSync(large, Buffer.alloc(64 << 20));
  upstream = await startEchoUpstream();
  testbed = await startTestbed();
  id = await testbed.ready({ port: upstream.port });
  const first = await testbed.replica({ env: ENV, host: HOSTS[0] });
  const { publicPort, adminPort } = first;
  const ports = { publicPort, adminPort };
  replicas = [first, await testbed.replica({ env: ENV, host: HOSTS[1], ...ports })];
}, 120_000);
afterAll(async () => {
  await testbed.stop();
  upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Returns a file of deploy/balancers with other values. Each value must be in the file. */
function configured(file: string, values: Readonly<Record<string, string>>): string {
  let text = readFileSync(new URL(`../../../deploy/balancers/${file}`, import.meta.url), 'utf8');
  for (const [from, to] of Object.entries(values)) {
    if (!text.includes(from)) throw new Error(`${file} does not contain ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const addressOf = (index: 0 | 1) => `${HOSTS[index]}:${replicas[index]?.publicPort}`;
/** @param changes to the file, beside the addresses */
async function nginx(changes: Readonly<Record<string, string>> = {}): Promise<Contender> {
  return await startNginx(
    '',
    (port) =>
      configured('nginx.conf', {
        '10.0.0.11:8080': addressOf(0),
        '10.0.0.12:8080': addressOf(1),
        'listen 443': `listen 127.0.0.1:${port}`,
        '/etc/ssl/ephemera/wildcard.pem': certificate,
        '/etc/ssl/ephemera/wildcard.key': key,
        ...changes,
      }),
    await installedModule(
      'ngx_http_headers_more_filter_module.so',
      'libnginx-mod-http-headers-more-filter',
    ),
  );
}
const BALANCERS: Readonly<Record<string, () => Promise<Contender>>> = {
  nginx: async () => await nginx(),
  haproxy: async () =>
    await startHaproxy((port) =>
      configured('haproxy.cfg', {
        '10.0.0.11:8080': addressOf(0),
        '10.0.0.12:8080': addressOf(1),
        'port 8081': `port ${replicas[0]?.adminPort}`,
        'bind :443': `bind 127.0.0.1:${port}`,
        '/etc/haproxy/wildcard.pem': join(folder, 'both'),
      }),
    ),
  Caddy: async () =>
    await startCaddy((port) =>
      configured('Caddyfile', {
        '10.0.0.11:8080': addressOf(0),
        '10.0.0.12:8080': addressOf(1),
        'health_port 8081': `health_port ${replicas[0]?.adminPort}`,
        'demos.example.org {': `${NAME}:${port} {`,
        '/etc/ssl/ephemera/wildcard.pem': certificate,
        '/etc/ssl/ephemera/wildcard.key': key,
      }),
    ),
};

describe.each(Object.entries(BALANCERS))('%s', (_name, start) => {
  let balancer: Contender;
  beforeAll(async () => {
    balancer = await start();
    await waitFor('the balancer to forward', async () => (await curl('/', [])).endsWith(' 2 200'));
  }, 120_000);
  afterAll(async () => {
    await balancer.stop();
  });

  const host = () => `${id}.${NAME}`;
  async function curl(path: string, args: readonly string[], name = host()): Promise<string> {
    const child = startChild(await installed('curl'), [
      ...[
        '-sS',
        '--http2',
        '-m',
        '60',
        '--cacert',
        certificate,
        '-w',
        ' %{http_version} %{http_code}',
      ],
      ...['--resolve', `${name}:${balancer.port}:127.0.0.1`, ...args],
      `https://${name}:${balancer.port}${path}`,
    ]);
    await child.exit();
    return child.log();
  }

  test('HTTP/2 to the visitor, in the host form and in the path form', async () => {
    expect(await curl('/hi', [])).toMatch(/ 2 200$/);
    // With a domain, the path form leads to the host form.
    expect(await curl(`/demo/${id}/hi`, [], NAME)).toMatch(/ 2 307$/);
  });

  test('the client address is that of the peer, and nothing that a client forges arrives', async () => {
    const forged = [
      'For: 6.6.6.6',
      'Proto: 6.6.6.6',
      'Host: 6.6.6.6',
      'Port: 6.6.6.6',
      'X: 6.6.6.6',
      'User: 6.6.6.6',
    ];
    const said = await curl('/hi', [
      ...forged.flatMap((field) => ['-H', `X-Forwarded-${field}`]),
      ...['-H', 'Forwarded: for=6.6.6.6', '-H', 'X-Real-IP: 6.6.6.6'],
      ...['-H', 'X-Auth-Request-User: 6.6.6.6', '-H', 'Remote-User: 6.6.6.6'],
      ...['-H', 'X_Forwarded_User: 6.6.6.6'],
    ]);
    expect(said).toMatch(/ 2 200$/);
    expect(said).not.toContain('6.6.6.6');
    expect(said).toContain('"x-forwarded-proto":"https"');
    expect(said).toContain('"x-forwarded-for":"127.0.0.1');
  });

  test('a WebSocket', async () => {
    const socket = new WebSocket(`wss://127.0.0.1:${balancer.port}/ws`, {
      agent: new Agent({ ca: readFileSync(certificate), servername: host() }),
      headers: { host: `${host()}:${balancer.port}` },
    });
    const received = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('hello'));
      socket.on('message', (data: Buffer) => resolve(data.toString()));
      socket.on('error', reject);
    });
    socket.close();
    expect(received).toBe('hello');
  });

  test('server-sent events arrive while the response is open', async () => {
    const child = startChild(await installed('curl'), [
      ...[
        '-sSN',
        '--http2',
        '--cacert',
        certificate,
        '--resolve',
        `${host()}:${balancer.port}:127.0.0.1`,
      ],
      `https://${host()}:${balancer.port}/events`,
    ]);
    await waitFor('three events', () => child.log().includes('data: 2'), 20_000);
    expect(child.ended()).toBeUndefined();
    await child.stop();
  });

  test('Chromium: a page, uploads, events and a WebSocket', { timeout: 60_000 }, async () => {
    const program = join(import.meta.dirname, '../src/differential/clients/browser.ts');
    const base = `https://${host()}:${balancer.port}`;
    const child = startChild(process.execPath, [program, base]);
    expect(await child.exit()).toBe(0);
    const lines = child.log().trim().split('\n');
    expect(lines.length).toBeGreaterThan(8);
    for (const line of lines) expect(line).toMatch(/: ok$/);
  });

  test('an upload of 64 MiB', async () => {
    expect(await curl('/up', ['-T', large])).toMatch(/"bytes":67108864,.* 2 200$/);
  });

  test('a response before the upload was read', async () => {
    expect(await curl('/early413', ['-T', large])).toMatch(/too big.* 2 413$/);
  });

  test(
    'replicas restart one after the other, and no request fails',
    { timeout: 180_000 },
    async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 8, ca: readFileSync(certificate) });
      const outcomes: Record<string, number> = {};
      const stop = new AbortController();
      const ask = async () =>
        await new Promise<string>((resolve) => {
          get(
            `https://127.0.0.1:${balancer.port}/hi`,
            { agent, servername: host(), headers: { host: host() } },
            (response) => {
              response.resume().on('end', () => resolve(String(response.statusCode)));
              response.on('error', (error) => resolve(error.message));
            },
          ).on('error', (error) => resolve(error.message));
        });
      const load = Array.from({ length: 4 }, async () => {
        while (!stop.signal.aborted) {
          const outcome = await ask();
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          await sleep(20);
        }
      });
      for (const [index, replica] of replicas.entries()) {
        const { publicPort, adminPort } = replica;
        replica.signal('SIGTERM');
        expect(await replica.exit()).toBe(0);
        const host = HOSTS[index] ?? HOSTS[0];
        replicas[index] = await testbed.replica({ env: ENV, host, publicPort, adminPort });
        // Longer than the interval of the checks, and than the time for which a replica is avoided.
        await sleep(3_000);
      }
      stop.abort();
      await Promise.all(load);
      agent.destroy();
      expect(Object.keys(outcomes)).toEqual(['200']);
    },
  );
});

// As docs/guides/load-balancers.md describes it.
test.each([
  ['the version', '  proxy_http_version 1.1;\n'],
  ['the field Upgrade', '  proxy_set_header Upgrade $http_upgrade;\n'],
])('nginx without %s: the instance gets a plain GET instead of a WebSocket', async (_, line) => {
  const balancer = await nginx({ [line]: '' });
  onTestFinished(() => balancer.stop());
  const name = `${id}.${NAME}`;
  const socket = new WebSocket(`wss://127.0.0.1:${balancer.port}/ws`, {
    agent: new Agent({ ca: readFileSync(certificate), servername: name }),
    headers: { host: name },
  });
  const outcome = await new Promise<string>((resolve) => {
    socket.on('open', () => resolve('open'));
    socket.on('error', (error) => resolve(error.message));
  });
  expect(outcome).toMatch(/^Unexpected server response: \d+$/);
});

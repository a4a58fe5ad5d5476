import { get } from 'node:http';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Balancer, askBalancer } from './balancer.ts';
import { buildBaseImages } from './base-images.ts';
import { type Composed, composeUp } from './composed.ts';
import { CONCURRENCY, getOnNewConnections, getUntil } from './get-on-new-connections.ts';
import { containerOf } from './parts.ts';
import {
  addressOfMachine,
  isReachedByNode,
  listenEverywhere,
  reachedFrom,
  reachedFromHere,
} from './reach.ts';
import { docker, run } from './run.ts';

// Tests the compose file as shipped: three proxies and two workers behind one balancer, from `up`
// to `down`.

let site: Composed;
let balancer: Balancer;
let removeTags: () => Promise<void> = () => Promise.resolve();
let isUp = false;

beforeAll(async () => {
  removeTags = await buildBaseImages();
  site = await composeUp({ proxy: 3, worker: 2 });
  isUp = true;
  const [found] = await partsNamed('balancer');
  balancer = askBalancer(found?.addresses['edge'] ?? '');
  await balancer.has(3).catch(async (error: unknown) => {
    throw new Error(await site.log(), { cause: error });
  });
}, 600_000);
afterAll(async () => {
  if (isUp) await site.down();
  await removeTags();
}, 180_000);

async function partsNamed(service: string) {
  return (await site.parts()).filter((part) => part.service === service);
}

/** Creates an instance through the balancer, waits until it is ready, and returns its id. */
async function start(body: { template?: string; timeout?: number } = {}): Promise<string> {
  const answer = await fetch(`${site.adminUrl}/v1/instances`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${site.token}`,
      'content-type': 'application/json',
      prefer: 'wait=30',
    },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as { id: string }).id;
}

test('every service becomes healthy', async () => {
  await waitFor('healthy services', async () => {
    const parts = (await site.parts()).filter(({ service }) => service !== 'demo-image');
    return parts.length === 8 && parts.every(({ health }) => health === 'healthy');
  });
  // bull-board requires a template engine that the production install could omit.
  for (const page of ['/', '/dashboard/queues']) {
    const answer = await fetch(new URL(page, site.dashboardUrl), {
      headers: { authorization: `Bearer ${site.token}` },
    });
    expect({ page, status: answer.status }).toEqual({ page, status: 200 });
  }
});

// DNS rebinding: an attacker's own name points to this machine.
test('the dashboard and the admin port answer only to configured names', async () => {
  const statusOf = (url: string, path: string, host: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const headers = { host, authorization: `Bearer ${site.token}` };
      get(new URL(path, url), { headers, agent: false }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      }).once('error', reject);
    });
  for (const [url, path] of [
    [site.adminUrl, '/v1/instances'],
    [site.dashboardUrl, '/dashboard/instances'],
  ] as const) {
    expect(await statusOf(url, path, 'rebound.evil.example')).toBe(421);
    expect(await statusOf(url, path, 'localhost')).toBe(200);
    expect(await statusOf(url, path, '192.0.2.1:8081')).toBe(200);
    expect(await statusOf(url, path, 'balancer')).toBe(200);
    expect(await statusOf(url, '/readyz', 'rebound.evil.example')).toBe(200);
  }
  expect(await statusOf(site.adminUrl, '/metrics', 'rebound.evil.example')).toBe(200);
});

/** Requests an instance until each of three proxies has served it. Every response must be its own. */
async function getFromEach(id: string): Promise<void> {
  const before = await balancer.answers();
  const got: unknown[] = [];
  await waitFor(
    'a response of each proxy',
    async () => {
      got.push(await getOnNewConnections(`${site.publicUrl}/demo/${id}/id`));
      const after = await balancer.answers();
      return [...after].filter(([proxy, count]) => count > (before.get(proxy) ?? 0)).length === 3;
    },
    30_000,
  );
  expect(got).toEqual(got.map(() => ({ status: 200, body: id })));
}

test('each of three proxies serves an instance created through the balancer', async () => {
  await getFromEach(await start());
});

test('the launch page redirects to an instance at the public address', async () => {
  const answer = await fetch(`${site.publicUrl}/demo/new`);
  expect(answer.status).toBe(200);
  expect(answer.url).toMatch(new RegExp(`^${site.publicUrl}/demo/[a-z0-9]{26}/$`));
});

test('forwarding headers of a client do not reach the instance', async () => {
  const id = await start();
  const names = ['X-Forwarded-For', 'X-Real-IP', 'X-Forwarded-Host', 'X-Forwarded-User'];
  const forged = Object.fromEntries(names.map((name) => [name, 'for=6.6.6.6']));
  const answer = await fetch(`${site.publicUrl}/demo/${id}/cgi-bin/echo`, { headers: forged });
  const seen = await answer.text();
  const [host] = await partsNamed('balancer');
  expect(seen).not.toContain('6.6.6.6');
  // The visitor address that the balancer sees, then the address of the balancer.
  expect(seen).toMatch(
    new RegExp(`^x-forwarded-for: [0-9.]+, ${host?.addresses['control'] ?? ''}$`, 'm'),
  );
});

test('a WebSocket works through the balancer and a proxy', async () => {
  const id = await start({ template: 'echo' });
  const socket = new WebSocket(`${site.publicUrl.replace('http', 'ws')}/demo/${id}/`);
  const messages: string[] = [];
  socket.on('message', (data: Buffer) => messages.push(data.toString()));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  for (const word of ['there', 'and', 'back']) {
    socket.send(word);
    await waitFor(`the echo of ${word}`, () => messages.at(-1) === word);
  }
  socket.terminate();
});

test('only the workers mount the Docker socket', async () => {
  const parts = await site.parts();
  const mounted = Object.fromEntries(parts.map(({ service, binds }) => [service, binds]));
  expect(mounted).toEqual({
    balancer: [expect.stringMatching(/\/deploy\/haproxy\.cfg$/)],
    proxy: [expect.stringMatching(/\/ephemera\.yml$/)],
    worker: [expect.stringMatching(/\/ephemera\.yml$/), expect.stringMatching(/\/docker\.sock$/)],
    dashboard: [expect.stringMatching(/\/ephemera\.yml$/)],
    redis: [],
    'demo-image': [],
  });
  expect((await containerOf(await start())).binds).toEqual([]);
});

test('an instance cannot connect to any service of the deployment', async () => {
  const { container, gateway } = await containerOf(await start());
  const other = await containerOf(await start());
  const here = await listenEverywhere();
  const visitors = Number(new URL(site.publicUrl).port);
  const ports: Readonly<Record<string, number[]>> = {
    proxy: [visitors, 8081],
    worker: [8083],
    dashboard: [8082],
    redis: [6379],
    balancer: [8080, 8081, 8082, 8404],
  };
  const targets = (await site.parts())
    .flatMap(({ service, addresses }) =>
      Object.values(addresses).flatMap((address) =>
        (ports[service] ?? []).map((port) => `${address}:${port}`),
      ),
    )
    .concat(`${other.address}:8080`, `${gateway}:${here.port}`)
    .concat(`${addressOfMachine()}:${here.port}`)
    .sort();
  try {
    // Verifies that every target is reachable from the host, so that the check below is meaningful.
    expect(await reachedFromHere(targets)).toEqual(targets);
    expect(await reachedFrom(container, [...targets, '127.0.0.1:8080'])).toEqual([
      '127.0.0.1:8080',
    ]);
  } finally {
    here.close();
  }
});

test('what an instance cannot reach fails at once, also after a restart of the workers', async () => {
  const probe = `
    for name in example.com ${site.project}.example; do nslookup $name; done
    nc -w 5 192.0.2.9 443 </dev/null; nc -w 5 10.255.255.9 80 </dev/null; echo end`;
  const failsAtOnce = async (container: string) => {
    const begin = performance.now();
    const lines = await docker('exec', container, 'sh', '-c', `{ ${probe}; } 2>&1`);
    expect(performance.now() - begin).toBeLessThan(8_000);
    expect(lines.filter((line) => line.includes('NXDOMAIN'))).not.toEqual([]);
    expect(lines.at(-1)).toBe('end');
  };
  const { container: first } = await containerOf(await start());
  await failsAtOnce(first);
  const helper = () =>
    docker('ps', '-q', '--filter', `name=^${site.project}-names$`, '--filter', 'status=running');
  const before = await helper();
  expect(before).toHaveLength(1);
  await docker('restart', ...(await partsNamed('worker')).map(({ id }) => id));
  await waitFor('healthy workers', async () =>
    (await partsNamed('worker')).every(({ health }) => health === 'healthy'),
  );
  expect(await helper()).toEqual(before);
  await failsAtOnce(first);
  const { container: second } = await containerOf(await start());
  await failsAtOnce(second);

  // The workers start it again.
  await docker('rm', '--force', ...before);
  await waitFor('the responder', async () => (await helper()).length === 1, 30_000);
  await waitFor('its answers', () => failsAtOnce(second).then(() => true), 60_000);
}, 180_000);

test('workers can connect to external addresses for webhooks, proxies cannot', async () => {
  const outside = await listenEverywhere();
  const target = `${addressOfMachine()}:${outside.port}`;
  try {
    for (const { id } of await partsNamed('worker')) {
      expect(await isReachedByNode(id, target)).toBe(true);
    }
    for (const { id } of await partsNamed('proxy')) {
      expect(await isReachedByNode(id, target)).toBe(false);
    }
  } finally {
    outside.close();
  }
});

// While Redis is unreachable, no proxy is ready. The balancer must still use the proxies, which can
// serve cached routes.
test('the balancer uses proxies that are not ready while Redis is unreachable', async () => {
  const id = await start();
  const url = `${site.publicUrl}/demo/${id}/id`;
  // Each replica must know the route before Redis is unreachable.
  await balancer.has(3);
  await getFromEach(id);
  const [redis] = await partsNamed('redis');
  await docker('pause', redis?.id ?? '');
  try {
    await balancer.has(0);
    await balancer.knows(3);
    for (let i = 0; i < 12; i++)
      expect(await getOnNewConnections(url)).toEqual({ status: 200, body: id });
  } finally {
    await docker('unpause', redis?.id ?? '');
    await balancer.has(3);
  }
});

test('stopping a proxy fails no request', async () => {
  const url = `${site.publicUrl}/demo/${await start()}/id`;
  const [replica] = await partsNamed('proxy');
  const stopped = docker('stop', '--time', '30', replica?.id ?? '').then(() => balancer.has(2));
  const answers = await getUntil(url, stopped);
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
});

test('killing a proxy fails only its requests in flight', async () => {
  const url = `${site.publicUrl}/demo/${await start()}/id`;
  const replica = (await partsNamed('proxy')).find(({ health }) => health === 'healthy');
  const killed = docker('kill', replica?.id ?? '').then(() => balancer.has(1));
  const answers = await getUntil(url, killed);
  const failed = answers.filter(({ status }) => status !== 200);
  expect(failed.every(({ status }) => status === 0)).toBe(true);
  expect(failed.length).toBeLessThanOrEqual(CONCURRENCY);
  expect((await getOnNewConnections(url)).status).toBe(200);
});

test('after the deadline the container is removed and the URL returns 410', async () => {
  const id = await start({ timeout: 3 });
  const url = `${site.publicUrl}/demo/${id}/id`;
  expect((await getOnNewConnections(url)).status).toBe(200);
  await waitFor('410', async () => (await getOnNewConnections(url)).status === 410);
  await waitFor('the removal of its container', async () => {
    const filter = `label=ephemera.instance=${id}`;
    return (await docker('ps', '-aq', '--filter', filter)).length === 0;
  });
});

test('down removes everything, including live instances', async () => {
  await start();
  await site.down();
  isUp = false;
  const { project, bridge } = site;
  const labels = [`com.docker.compose.project=${project}`, `ephemera.namespace=${project}`];
  for (const label of labels) {
    expect(await docker('ps', '-aq', '--filter', `label=${label}`)).toEqual([]);
  }
  expect(await docker('network', 'ls', '-q', '--filter', `name=${project}`)).toEqual([]);
  expect(await docker('volume', 'ls', '-q', '--filter', `name=${project}`)).toEqual([]);
  expect((await run('iptables', ['-S'])).toLowerCase()).not.toContain(bridge);
}, 180_000);

import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keysOf } from '@ephemera/store';
import {
  SETTLED_DATASET,
  deploy,
  freePort,
  sampleDraft,
  startChild,
  unpacked,
  waitFor,
} from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TOKEN } from './deployment.ts';

// Debian's Prometheus scrapes a real proxy with traffic, by deploy/prometheus/local.yml, and runs every
// query of the boards and of the alert rules. No worker runs: scripts/observability.test.mjs compares
// the metrics of workers with the documented ones.

const deployFolder = join(import.meta.dirname, '../../../deploy');
const CONNECTIONS_PER_ADDRESS = 40;
/** Short, so that rates of a few seconds have a value. */
const INTERVALS = { scrape: '200ms', rate: '5s' };

/** The metrics that only workers serve. */
const OF_WORKERS = /ephemera_(spawn|kill|repairs|queue|webhook|docker)/;

const READY = sampleDraft().id;
const UNREACHABLE = sampleDraft().id;

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const cleanUps: (() => unknown)[] = [];
let prometheus = '';

beforeAll(async () => {
  const instance = createServer((_req, res) => res.end('hello'));
  instance.listen(0, '127.0.1.1');
  await once(instance, 'listening');
  cleanUps.push(() => {
    instance.closeAllConnections();
    instance.close();
  });
  const { adminUrl, publicUrl } = await startProxy((instance.address() as AddressInfo).port);
  await startPrometheus(adminUrl);
  sendTraffic(adminUrl, publicUrl);
}, 300_000);

afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A proxy with a host, an instance that answers at `port`, and one that nothing serves. */
async function startProxy(port: number): Promise<{ adminUrl: string; publicUrl: string }> {
  const closed = await freePort();
  const site = await deploy({
    workers: 0,
    templates: 'templates: { notes: { image: ephemera/demo, port: 8080, pool: 2 } }',
    env: { EPHEMERA_CONNECTIONS_PER_ADDRESS: String(CONNECTIONS_PER_ADDRESS) },
    async seed(redis, namespace) {
      const keys = keysOf(namespace);
      const registration = { boot: 'boot', network: 'network', networks: ['127.0.0.0/8'] };
      await redis.set(keys.dataset, SETTLED_DATASET);
      await redis.set(keys.registration('host-a'), JSON.stringify(registration));
      await redis.zadd(keys.hosts, Date.now(), 'host-a');
      await redis.hset(keys.hostCapacity('host-a'), { instances: 1_000, memory: 1e12, cpus: 1e6 });
      const route = {
        ...{ state: 'ready', template: 'notes', host: 'host-a', hostHeader: 'pass' },
        ...{ address: '127.0.1.1', expiresAt: Date.now() + 3_600_000, stripPrefix: true },
      };
      for (const [generation, [id, main]] of [
        [READY, port] as const,
        [UNREACHABLE, closed] as const,
      ].entries()) {
        const more = { generation: generation + 1, port: main, ports: { main } };
        await redis.set(keys.route(id), JSON.stringify({ ...route, ...more }));
      }
    },
  });
  cleanUps.push(() => site.stop());
  const [[adminUrl = ''], [publicUrl = '']] = [site.adminUrls, site.publicUrls];
  return { adminUrl, publicUrl };
}

/** Starts it with the configuration for `npm start`, with other addresses and intervals. */
async function startPrometheus(adminUrl: string): Promise<void> {
  const program = await unpacked('prometheus', 'prometheus');
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-prometheus-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const text = await readFile(join(deployFolder, 'prometheus/local.yml'), 'utf8');
  const replaced = text
    .replaceAll('_interval: 15s', `_interval: ${INTERVALS.scrape}`)
    .replaceAll('../../.ephemera/', '');
  await writeFile(join(folder, 'prometheus.yml'), replaced);
  for (const [file, target] of [
    ['proxies.json', new URL(adminUrl).host],
    ['workers.json', `127.0.0.1:${await freePort()}`],
  ] as const) {
    await writeFile(join(folder, file), JSON.stringify([{ targets: [target] }]));
  }
  await writeFile(join(folder, 'admin-token'), `${TOKEN}\n`);
  await copyFile(join(deployFolder, 'prometheus/rules.yml'), join(folder, 'rules.yml'));
  const address = `127.0.0.1:${await freePort()}`;
  const child = startChild(program, [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${address}`,
  ]);
  cleanUps.push(() => child.stop(10_000));
  prometheus = `http://${address}`;
  await waitFor('Prometheus', async () => {
    if (child.ended() !== undefined) throw new Error(child.log());
    return (await fetch(`${prometheus}/-/ready`)).ok;
  });
}

/** Repeats requests that succeed, fail or are refused, and a start, until the clean-up. */
function sendTraffic(adminUrl: string, publicUrl: string): void {
  const stopping = new AbortController();
  const { signal } = stopping;
  const { hostname: host, port } = new URL(publicUrl);
  const round = async (): Promise<void> => {
    for (const id of [READY, UNREACHABLE, sampleDraft().id]) {
      await (await fetch(`${publicUrl}/demo/${id}/`, { signal })).text();
    }
    const sockets: Socket[] = [];
    for (let i = 0; i < CONNECTIONS_PER_ADDRESS + 5; i++) {
      sockets.push(connect({ host, port: Number(port) }).on('error', () => undefined));
    }
    await Promise.any(sockets.map((socket) => once(socket, 'close', { signal })));
    for (const socket of sockets) socket.destroy();
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ template: 'notes' });
    const url = `${adminUrl}/v1/instances`;
    const started = await fetch(url, { method: 'POST', headers, body, signal });
    await started.text();
    // No worker takes the starts, so their queue is full after a while.
    expect([202, 429]).toContain(started.status);
  };
  const rounds = (async () => {
    while (!signal.aborted) await round();
  })();
  // The test fails by an empty panel then, with this as the reason.
  rounds.catch((error: unknown) => {
    if (!signal.aborted) process.stderr.write(`traffic ended: ${String(error)}\n`);
  });
  cleanUps.push(async () => {
    stopping.abort();
    await rounds.catch(() => undefined);
  });
}

/** The number of series that a query finds now. @throws for a query that Prometheus refuses */
async function seriesOf(query: string): Promise<number> {
  const expr = query.replaceAll('$__rate_interval', INTERVALS.rate);
  const url = `${prometheus}/api/v1/query?query=${encodeURIComponent(expr)}`;
  const answer = (await (await fetch(url)).json()) as {
    status: string;
    error?: string;
    data?: { result: { value: [number, string] }[] };
  };
  if (answer.status !== 'success') throw new Error(`${expr}: ${answer.error ?? ''}`);
  return (answer.data?.result ?? []).filter(({ value: [, text] }) => text !== 'NaN').length;
}

async function panels(): Promise<readonly (readonly [title: string, expr: string])[]> {
  const folder = join(deployFolder, 'grafana/dashboards');
  const files = await readdir(folder);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return texts.flatMap((text, i) =>
    (JSON.parse(text) as { panels: Panel[] }).panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => [`${files[i] ?? ''}: ${title}: ${expr}`, expr] as const),
    ),
  );
}

test('no panel is empty that shows proxies, hosts or pools', async () => {
  const shown = (await panels()).filter(([, expr]) => !OF_WORKERS.test(expr));
  expect(shown.length).toBeGreaterThan(20);
  await waitFor(
    'a value in each panel',
    async () => {
      const counts = await Promise.all(shown.map(([, expr]) => seriesOf(expr)));
      const empty = shown.filter((_, i) => counts[i] === 0).map(([title]) => title);
      if (empty.length > 0) throw new Error(`empty:\n${empty.join('\n')}`);
      return true;
    },
    40_000,
  );
});

test('Prometheus accepts every query of the boards', async () => {
  const shown = await panels();
  for (const [, expr] of shown) await seriesOf(expr);
  await expect(seriesOf('sum by (rate(')).rejects.toThrow('parse error');
});

test('Prometheus evaluates every alert rule without an error, and those of the traffic fire', async () => {
  interface Rule {
    name: string;
    health: string;
    lastError?: string;
    state: string;
  }
  const read = async (): Promise<Rule[]> => {
    const answer = (await (await fetch(`${prometheus}/api/v1/rules`)).json()) as {
      data: { groups: { rules: Rule[] }[] };
    };
    return answer.data.groups.flatMap(({ rules }) => rules);
  };
  const rules = await waitFor('an evaluation of every rule', async () => {
    const found = await read();
    return found.length > 20 && found.every(({ health }) => health !== 'unknown') && found;
  });
  expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  // Nothing listens on the port of the worker, and the pool cannot be filled.
  await waitFor('the alerts', async () => {
    const found = await read();
    const active = found.filter(({ state }) => state !== 'inactive').map(({ name }) => name);
    return ['EphemeraTargetDown', 'EphemeraPoolEmpty'].every((name) => active.includes(name));
  });
});

/**
 * Measures how long a visitor waits for a warm instance, and for a new one in comparison with
 * `docker run`.
 *
 *     node tests/bench/src/start.ts [--rounds N]
 *
 * Needs Docker with the image ephemera/demo, and redis-server. Prints a table and writes
 * bench-results/start.json. Exits within a few minutes and leaves nothing behind.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKEN, demoTemplate, deploy, readCommandLine } from '@ephemera/test-support';
import { shellRun } from './shell-run.ts';
import { ask, round, summarize, table } from './timed.ts';

const { values } = readCommandLine({
  command: 'node tests/bench/src/start.ts',
  summary: 'Measures how long a visitor waits for a warm and for a new instance.',
  options: { rounds: { kind: 'number', help: 'Rounds of each measurement.', default: 15 } },
});
const ROUNDS = values.rounds;
const POOL = 8;
const WARM_UP = 6;
/** Deadline of the measurements, epoch ms. Later measurements are skipped. */
const LATEST = Date.now() + 8 * 60_000;

const deployment = await deploy({
  templates: `default: cold
templates:
  cold: ${demoTemplate({ timeout: '5m', user: '65534' })}
  warm: ${demoTemplate({ timeout: '5m', user: '65534', pool: POOL })}
`,
  env: { EPHEMERA_LOG_LEVEL: 'warn' },
});
const site = {
  namespace: deployment.namespace,
  publicUrl: deployment.publicUrls[0] ?? '',
  adminUrl: deployment.adminUrls[0] ?? '',
  token: TOKEN,
};
type Site = typeof site;
try {
  await full(site);
  await acquire(site, 'cold').then(remove);
  // Not measured: a new proxy has not compiled its code yet.
  for (let i = 0; i < WARM_UP; i++) await acquire(site, 'warm').then(remove);
  await full(site);
  const cold: number[] = [];
  const shell: number[] = [];
  for (let i = 0; i < ROUNDS && Date.now() < LATEST; i++) {
    // Alternates, so that load of the machine affects both equally.
    const created = await acquire(site, 'cold');
    cold.push(created.took);
    await remove(created);
    shell.push(await shellRun({ ...hand(site, i), image: 'ephemera/demo' }));
  }
  const quiet: number[] = [];
  for (let i = 0; i < 2 * ROUNDS && Date.now() < LATEST; i++) {
    const created = await acquire(site, 'warm');
    quiet.push(created.took);
    await remove(created);
    await full(site);
  }
  const busy: number[] = [];
  for (let i = 0; i < ROUNDS && Date.now() < LATEST; i++) {
    const claimed = [];
    for (let j = 0; j < POOL - 1; j++) claimed.push(await acquire(site, 'warm'));
    busy.push(...claimed.map(({ took }) => took));
    await Promise.all(claimed.map(remove));
    await full(site);
  }
  const rows = {
    'claim to first byte': summarize(quiet),
    'claim to first byte, pool refilling': summarize(busy),
    'cold create to first byte': summarize(cold),
    'docker run to first byte': summarize(shell),
  };
  process.stdout.write(table(rows));
  const ratio = round(rows['cold create to first byte'].p50 / rows['docker run to first byte'].p50);
  process.stdout.write(`cold create / docker run, medians: ${ratio}\n`);
  const results = join(import.meta.dirname, '../../../bench-results');
  mkdirSync(results, { recursive: true });
  const found = {
    at: new Date().toISOString(),
    node: process.version,
    rounds: ROUNDS,
    rows,
    ratio,
  };
  writeFileSync(join(results, 'start.json'), `${JSON.stringify(found, null, 2)}\n`);
} finally {
  await deployment.stop();
}

interface Acquired {
  readonly id: string;
  /** Time from the request for an instance to its first byte, milliseconds. */
  readonly took: number;
}

async function acquire({ adminUrl, publicUrl, token }: Site, name: string): Promise<Acquired> {
  const began = performance.now();
  const created = await ask(`${adminUrl}/v1/instances`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      prefer: 'wait=60',
    },
    body: JSON.stringify({ template: name }),
  });
  const { id } = JSON.parse(created.text) as { id: string };
  const answer = await ask(`${publicUrl}/demo/${id}/id`);
  if (answer.text !== id) throw new Error(`${name} answered ${answer.status}: ${answer.text}`);
  return { id, took: answer.firstByteAt - began };
}

/**
 * Kills an instance and waits until its container is removed, so that it does not slow the next
 * measurement.
 */
async function remove({ id }: Acquired): Promise<void> {
  const headers = { authorization: `Bearer ${site.token}` };
  await ask(`${site.adminUrl}/v1/instances/${id}`, { method: 'DELETE', headers });
  for (;;) {
    const { text } = await ask(`${site.adminUrl}/v1/instances/${id}`, { headers });
    if ((JSON.parse(text) as { status: { state: string } }).status.state === 'gone') return;
    await sleep(20);
  }
}

async function full({ adminUrl, token }: Site): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  while (Date.now() < LATEST) {
    const { text } = await ask(`${adminUrl}/v1/instances?limit=100`, { headers });
    const { items } = JSON.parse(text) as { items: { status: { state: string } }[] };
    if (items.length === POOL && items.every(({ status }) => status.state === 'warm')) return;
    await sleep(50);
  }
}

/** A container name and an unused address in the network of the instances. */
function hand({ namespace }: Site, turn: number) {
  const format = '{{(index .IPAM.Config 0).Subnet}}';
  const subnet = execFileSync('docker', ['network', 'inspect', '--format', format, namespace]);
  const [a, b] = subnet.toString().split('.');
  const address = `${a}.${b}.200.${turn + 1}`;
  return { name: `${namespace}-by-hand-${turn}`, network: namespace, address };
}

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

import { waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';

import { readSecret } from '../src/state-folder.ts';
import { leftBehind } from './left-behind.ts';
import { makePlace, workspace } from './started-up.ts';

let place: Awaited<ReturnType<typeof makePlace>>;
beforeEach(async () => {
  place = await makePlace();
});
afterEach(() => place.tidy());

const processes = () => leftBehind(place.namespace).processes();
const idOf = (line: string) => line.trim().split(/\s+/)[0] ?? '';

test('up, an instance, Ctrl-C: nothing remains', async () => {
  const started = await place.up();
  expect(started.said()).toContain('curl -L');

  const made = await started.ephemera('run', 'demo', '--timeout', '5m', '--wait');
  expect(made).toMatchObject({ code: 0, err: '' });
  const id = idOf(made.out);
  const page = await fetch(`${started.publicUrl}/demo/${id}/`);
  expect(await page.text()).toContain(id);
  expect((await started.ephemera('ls')).out).toMatch(new RegExp(`${id} +demo +ready +\\d`));

  const scraped = await Promise.all(['proxies', 'workers'].flatMap(scrapeTargets).map(scrape));
  expect(scraped).toEqual(['proxy', 'proxy', 'worker']);

  const longer = await started.ephemera('renew', id, '--timeout', '20m');
  expect(longer.out).toMatch(/left: +(20m|19m59s)/);

  const madeBridge = bridge();
  expect(firewall()).toContain(`-i ${madeBridge}`);
  started.signal('SIGINT');
  const end = await started.ended;
  expect(end).toMatchObject({ code: 0, err: '' });
  expect(end.out).toContain('Clean-up: 1 instance ended');
  expect(processes()).toEqual([]);
  expect(containers()).toBe('');
  expect(() => bridge()).toThrow(/not found|no such network/i);
  expect(firewall()).not.toContain(madeBridge);
});

test('a secret from a file is in no environment, and workers do not get the token', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'up-secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const token = 'a-token-that-nobody-sees';
  writeFileSync(join(folder, 'token'), token);
  writeFileSync(join(folder, 'url'), place.redisUrl);
  const started = await place.upWith({
    EPHEMERA_REDIS_URL: '',
    EPHEMERA_REDIS_URL_FILE: relative(workspace, join(folder, 'url')),
    EPHEMERA_ADMIN_TOKEN_FILE: join(folder, 'token'),
  });
  expect((await started.ephemera('ls')).code).toBe(0);
  const apps = processes().filter(({ command }) => /apps\/\w+\/src\/main\.ts/.test(command));
  expect(apps).toHaveLength(5);
  for (const { command, environment } of apps) {
    expect(environment).not.toContain(token);
    expect(environment).not.toContain(place.redisUrl);
    const isWorker = command.endsWith('worker/src/main.ts');
    expect(environment.includes('EPHEMERA_ADMIN_TOKEN')).toBe(!isWorker);
  }
  started.signal('SIGINT');
  await started.ended;
});

test('a second start is refused, and does not affect the first', async () => {
  const started = await place.up();
  const second = await place.ephemera(['up']);
  expect(second.code).toBe(1);
  expect(second.err).toMatch(/EPHEMERA_PUBLIC_PORT\) is taken(.|\n)*Perhaps Ephemera runs already/);
  expect((await started.ephemera('ls')).code).toBe(0);
  started.signal('SIGTERM');
  expect((await started.ended).code).toBe(0);
});

test('a killed proxy is restarted', async () => {
  const started = await place.up('--proxies', '1');
  const proxy = () => processes().find(({ command }) => command.endsWith('proxy/src/main.ts'));
  const before = await waitFor('the proxy', () => proxy()?.pid);
  process.kill(before, 'SIGKILL');
  await waitFor('another proxy', async () => {
    const now = proxy()?.pid;
    return now !== undefined && now !== before && (await started.ephemera('ls')).code === 0;
  });
  expect(started.said()).toContain('the proxy ended with SIGKILL; it starts again');
  started.signal('SIGINT');
  await started.ended;
});

test('--keep leaves the instances to the next start, which does not count them as its own', async () => {
  const first = await place.up('--keep', '--workers', '2', '--proxies', '1');
  const { out } = await first.ephemera('run', '--timeout', '5m', '--wait');
  first.signal('SIGINT');
  await first.ended;
  expect(containers()).not.toBe('');
  expect(processes()).toEqual([]);

  const second = await place.up('--proxies', '1');
  second.signal('SIGINT');
  await second.ended;
  expect(containers()).not.toBe('');

  const third = await place.up('--proxies', '1');
  expect((await third.ephemera('kill', idOf(out))).code).toBe(0);
  await waitFor('its end', () => containers() === '');
  third.signal('SIGINT');
  await third.ended;
}, 180_000);

test('Ctrl-C during a start stops all processes', async () => {
  const started = place.up();
  const find = (end: string) => processes().find(({ command }) => command.endsWith(end))?.pid;
  await waitFor('the worker', () => find('worker/src/main.ts'));
  const up = await waitFor('up itself', () => find('cli/src/main.ts up'));
  process.kill(up, 'SIGINT');
  await expect(started).rejects.toThrow('all stopped');
  expect(processes()).toEqual([]);
});

/** Runs a start that does not get past its worker, which fills a pool, and ends it with Ctrl-C. */
async function interruptStart() {
  const files = { config: `${place.namespace}.yml`, hang: `${place.namespace}.mjs` };
  const [config, hang] = [join(tmpdir(), files.config), join(tmpdir(), files.hang)];
  writeFileSync(config, 'templates: { a: { image: ephemera/demo, port: 8080, pool: 1 } }');
  const hangs = 'await new Promise(() => setInterval(() => undefined, 1000))';
  writeFileSync(hang, `if (process.argv[1]?.includes('apps/dashboard/')) ${hangs};`);
  onTestFinished(() => [config, hang].forEach((file) => rmSync(file)));
  const settings = { EPHEMERA_CONFIG: config, NODE_OPTIONS: `--import=${hang}` };
  const started = place.ephemera(['up'], settings);
  await waitFor('a warm instance', () => containers('label=ephemera.role=instance') !== '');
  const up = processes().find(({ command }) => command.endsWith('cli/src/main.ts up'));
  process.kill(up?.pid ?? 0, 'SIGINT');
  expect(await started).toMatchObject({ code: 0, err: '' });
  expect(processes()).toEqual([]);
}

test('an interrupted start removes everything that its worker has created', async () => {
  await interruptStart();
  expect(containers()).toBe('');
  expect(() => bridge()).toThrow(/not found|no such network/i);
});

test('an interrupted start leaves everything that existed before it', async () => {
  const { namespace } = place;
  const labels = `--label ephemera.namespace=${namespace} --label ephemera.instance=old`;
  const args = `run -d --name ${namespace}-old-1 ${labels} ephemera/demo`;
  execFileSync('docker', args.split(' '));
  const before = containers();
  await interruptStart();
  expect(containers()).toBe(before);
});

test('every issue of a configuration is reported before anything starts', async () => {
  const file = join(tmpdir(), `${place.namespace}.yml`);
  writeFileSync(file, 'templates: { a: { image: "", port: 0, colour: red } }');
  onTestFinished(() => rmSync(file));
  const { code, out, err } = await place.ephemera(['up'], { EPHEMERA_CONFIG: file });
  expect(code).toBe(1);
  expect(out).not.toContain('Docker');
  for (const path of ['image', 'port', 'colour']) expect(err).toContain(`templates.a.${path}: `);
});

/** The addresses in a file that deploy/prometheus/local.yml names. */
function scrapeTargets(kind: string): string[] {
  const file = readFileSync(join(place.stateFolder, `${kind}.json`), 'utf8');
  return (JSON.parse(file) as { targets: string[] }[]).flatMap(({ targets }) => targets);
}

/** Reads the metrics of a process, and returns which app it is. */
async function scrape(target: string): Promise<string | undefined> {
  const token = readSecret(place.stateFolder, 'admin-token') ?? '';
  const headers = { authorization: `Bearer ${token}` };
  const text = await (await fetch(`http://${target}/metrics`, { headers })).text();
  return /^process_start_time_seconds\{app="(\w+)"\}/m.exec(text)?.[1];
}

function containers(...more: string[]): string {
  const filters = [`name=^${place.namespace}-`, ...more].flatMap((text) => ['--filter', text]);
  return execFileSync('docker', ['ps', '-aq', ...filters], { encoding: 'utf8' });
}

const bridge = () => leftBehind(place.namespace).bridge();

function firewall(): string {
  return execFileSync('iptables', ['-S'], { encoding: 'utf8' });
}

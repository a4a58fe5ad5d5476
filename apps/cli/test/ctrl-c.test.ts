import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';

import { leftBehind } from './left-behind.ts';
import { client, makePlace, workspace } from './started-up.ts';

// Each test runs `up` in full, some several times, which takes long on a busy machine.
vi.setConfig({ testTimeout: 300_000 });

// One proxy, because the start of each process takes a second. `npm start` below starts two.
const ONE_PROXY = ['--proxies', '1'];
const UP = [process.execPath, client, 'up', ...ONE_PROXY];

let place: Awaited<ReturnType<typeof makePlace>>;
let left: ReturnType<typeof leftBehind>;
beforeEach(async () => {
  place = await makePlace();
  left = leftBehind(place.namespace);
});
afterEach(() => place.tidy());

/** Runs `up` with these settings, and waits until everything is ready. */
const upWith = (settings: NodeJS.ProcessEnv, ...args: string[]) =>
  place.upWith(settings, ...ONE_PROXY, ...args);

const idOf = (line: string) => line.trim().split(/\s+/)[0] ?? '';

/** A temporary file, removed after the test. */
function file(ending: string, text: string): string {
  const path = join(tmpdir(), `${place.namespace}${ending}`);
  writeFileSync(path, text);
  onTestFinished(() => rmSync(path, { force: true }));
  return path;
}

/** Settings under which `up` has only these templates, as YAML. */
const templates = (...lines: string[]) => ({
  EPHEMERA_CONFIG: file('.yml', `default: a\ntemplates:\n${lines.map((l) => `  ${l}\n`).join('')}`),
});

/** Settings under which Node programs with this text in their arguments hang at their start. */
const hanging = (argument: string) => ({
  NODE_OPTIONS: `--import=${file(
    '.mjs',
    `if (process.argv.join(' ').includes(${JSON.stringify(argument)}))
       await new Promise(() => setInterval(() => undefined, 1000));`,
  )}`,
});

const PLAIN = 'a: { image: ephemera/demo, port: 8080 }';
const POOL = 'a: { image: ephemera/demo, port: 8080, pool: 2 }';
/** Nothing ever listens, so the instances of the pool never become ready. */
const SLOW_POOL =
  'a: { image: ephemera/demo, port: 8080, pool: 5, command: [sleep, "600"], ready: { tcp: true, within: 5m } }';

const isUp = (said: () => string) => waitFor('the start', () => said().includes('Ephemera is up'));
const find = (end: string) => left.processes().find(({ command }) => command.includes(end))?.pid;
const worker = () => find('worker/src/main.ts');
const instances = () => left.containers('label=ephemera.role=instance');

/** Expects that nothing of the namespace remains on the machine. */
function expectNothing(bridge: string): void {
  expect(left.containers()).toEqual([]);
  expect(left.networks()).toEqual([]);
  expect(left.rules(bridge)).toEqual([]);
  expect(left.processes()).toEqual([]);
}

test('a pool of starting instances is removed, with its network and rules', async () => {
  const up = place.launch(UP, templates(SLOW_POOL));
  await isUp(up.said);
  await waitFor('the pool', () => instances().length === 5);
  const bridge = left.bridge();
  expect(left.rules(bridge)).not.toEqual([]);
  up.signal('SIGINT');
  const { code, out, err } = await up.ended;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expectNothing(bridge);
  expect(out).toMatch(/([5-9]|\d\d) instances ended/);
  expect(out).toContain(`1 network removed (${place.namespace})`);
  expect(out).toContain('Nothing of Ephemera remains on the Docker daemon except images');
});

test.each([
  ['builds the demo image', 'build-image.ts'],
  ['takes the snapshot', 'remove-all.ts --'],
])('Ctrl-C in a terminal while the start %s exits without an error', async (_, program) => {
  const onlyBefore = program === 'remove-all.ts --' ? 'remove-all.ts --snapshot' : program;
  const up = place.launch(UP, hanging(onlyBefore));
  await waitFor('the program', () => find(program));
  up.signal('SIGINT', 'group');
  const { code, out, err } = await up.ended;
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('Stopping');
  expect(left.processes()).toEqual([]);
  expect(left.containers()).toEqual([]);
  expect(left.networks()).toEqual([]);
});

test('Ctrl-C before the worker is ready removes everything that the worker has created', async () => {
  const up = place.launch(UP, templates(SLOW_POOL));
  await waitFor('the network', () => left.networks().length > 0);
  const bridge = left.bridge();
  up.signal('SIGINT', 'group');
  expect(await up.ended).toMatchObject({ code: 0, err: '' });
  expectNothing(bridge);
});

test.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)(
  '%s to the whole process group stops in order',
  async (signal) => {
    const up = place.launch(UP, templates(POOL));
    await isUp(up.said);
    await waitFor('the pool', () => instances().length === 2);
    const bridge = left.bridge();
    up.signal(signal, 'group');
    const { code, out, err } = await up.ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expectNothing(bridge);
    // The workers may have refilled the pool before they stopped.
    expect(out).toMatch(/([2-9]|\d\d) instances ended/);
  },
);

test('Ctrl-C typed into a terminal in which npm start runs', async () => {
  const up = place.launch(['script', '-qefc', 'npm start', '/dev/null'], templates(POOL));
  await isUp(up.said);
  await waitFor('the pool', () => instances().length === 2);
  const bridge = left.bridge();
  up.type('\x03');
  await up.ended;
  await waitFor('the end of the processes', () => left.processes().length === 0);
  expectNothing(bridge);
  expect(up.said()).toMatch(/([2-9]|\d\d) instances ended/);
});

test('closing the terminal removes everything', async () => {
  const up = place.launch(['script', '-qefc', 'npm start', '/dev/null'], templates(POOL));
  await isUp(up.said);
  await waitFor('the pool', () => instances().length === 2);
  const bridge = left.bridge();
  up.signal('SIGKILL');
  await waitFor('the end of the processes', () => left.processes().length === 0);
  expectNothing(bridge);
});

test('a second Ctrl-C forces the exit, and prints what may remain and how to remove it', async () => {
  const up = place.launch(UP, { ...templates(SLOW_POOL), ...hanging('remove-all.ts --drain') });
  await isUp(up.said);
  await waitFor('the pool', () => instances().length === 5);
  const bridge = left.bridge();
  up.signal('SIGINT');
  await waitFor('the clean-up', () => find('remove-all.ts --drain'));
  await new Promise((resolve) => setTimeout(resolve, 600));
  up.signal('SIGINT');
  const { code, out } = await up.ended;
  expect(code).toBe(130);
  const command = `EPHEMERA_NAMESPACE=${place.namespace} npx ephemera clean`;
  expect(out).toContain('may remain');
  expect(out).toContain(command);
  await waitFor('the end of the processes', () => left.processes().length === 0);
  expect(left.containers()).not.toEqual([]);

  execFileSync('sh', ['-c', command], { cwd: workspace, env: place.environment, stdio: 'pipe' });
  expectNothing(bridge);
});

test('ephemera clean is refused while Ephemera runs', async () => {
  const up = await upWith(templates(PLAIN));
  const { code, err } = await place.ephemera(['clean']);
  expect(code).toBe(1);
  expect(err).toContain('Ephemera seems to run');
  up.signal('SIGINT');
  await up.ended;
});

/**
 * A Docker socket that delays the creation of containers, even after the client has disconnected.
 */
async function slowDocker(delayMs: number) {
  const path = join(tmpdir(), `${place.namespace}.sock`);
  let delayed = 0;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const daemon = connect('/var/run/docker.sock');
    for (const socket of [client, daemon]) {
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => open.delete(socket));
    }
    daemon.on('data', (data) => client.writable && client.write(data));
    daemon.on('close', () => client.destroy());
    let waits = Promise.resolve();
    client.on('data', (data) => {
      const text = data.toString('latin1');
      if (text.startsWith('POST /containers/create') && text.includes('name=')) {
        delayed += 1;
        waits = waits.then(() => new Promise((resolve) => setTimeout(resolve, delayMs)));
      }
      waits = waits.then(() => void daemon.write(data));
    });
    client.on('close', () => void waits.then(() => setTimeout(() => daemon.destroy(), 2_000)));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { DOCKER_HOST: `unix://${path}`, delayed: () => delayed };
}

test('removes containers that the daemon creates after their worker was killed', async () => {
  const { delayed, ...docker } = await slowDocker(4_000);
  const up = place.launch(UP, { ...templates(SLOW_POOL), ...docker });
  await isUp(up.said);
  await waitFor('creations', () => delayed() === 5);
  const bridge = left.bridge();
  expect(instances()).toEqual([]);
  process.kill(worker() ?? 0, 'SIGKILL');
  up.signal('SIGINT');
  expect(await up.ended).toMatchObject({ code: 0 });
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expectNothing(bridge);
});

test('removes instances of a killed worker', async () => {
  const up = await upWith(templates(SLOW_POOL));
  await waitFor('the pool', () => instances().length === 5);
  const bridge = left.bridge();
  process.kill(worker() ?? 0, 'SIGKILL');
  up.signal('SIGINT');
  const { out } = await up.ended;
  expectNothing(bridge);
  // The restarted worker may have ended some of them itself.
  expect(out).toMatch(/\d instances? ended/);
});

test('no spawn job of this run starts a container later; a job of an earlier run does', async () => {
  const settings = templates(
    'a: { image: ephemera/demo, port: 8080, ready: { tcp: true, within: 5m } }',
  );
  const first = await upWith(settings, '--keep');
  process.kill(worker() ?? 0, 'SIGSTOP');
  const early = idOf((await first.ephemera('run', 'a', '--timeout', '5m')).out);
  process.kill(worker() ?? 0, 'SIGKILL');
  first.signal('SIGINT');
  await first.ended;
  // The worker may have continued for a moment.
  const ids = left.containers();
  if (ids.length > 0) left.docker('rm', '-f', ...ids);

  const hung = hanging('worker/src/main.ts');
  const second = place.launch(UP, { ...settings, ...hung });
  await waitFor('the second start', worker);
  const keys = () =>
    execFileSync('redis-cli', ['-u', place.redisUrl, '--scan'], { encoding: 'utf8' }).split('\n');
  await waitFor('an instance of the second start', async () => {
    const signal = AbortSignal.timeout(2_000);
    await fetch(`${place.publicUrl}/demo/new?redirect=0`, { signal }).catch(() => undefined);
    return keys().filter((key) => /:instance:[a-z0-9]{20,}$/.test(key)).length > 1;
  });
  second.signal('SIGINT');
  await second.ended;

  const lone = place.launch(
    [process.execPath, join(workspace, 'apps/worker/src/main.ts')],
    settings,
  );
  await waitFor('the worker', () => lone.said().includes('worker ready'));
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  const found = instances().map((id) =>
    left.docker('inspect', '--format', '{{index .Config.Labels "ephemera.instance"}}', id),
  );
  expect(found).toEqual([early]);
  lone.signal('SIGTERM');
  await lone.ended;
});

test('the next worker does not refill the pool', async () => {
  const settings = templates(POOL);
  const up = await upWith(settings);
  await waitFor('the pool', () => instances().length === 2);
  up.signal('SIGINT');
  await up.ended;
  const lone = place.launch(
    [process.execPath, join(workspace, 'apps/worker/src/main.ts')],
    settings,
  );
  await waitFor('the worker', () => lone.said().includes('worker ready'));
  await new Promise((resolve) => setTimeout(resolve, 8_000));
  expect(instances()).toEqual([]);
  lone.signal('SIGTERM');
  await lone.ended;
});

test('--keep leaves claimed instances, ends pooled ones, and prints what happens to them', async () => {
  const settings = templates(POOL, SLOW_POOL.replace(/^a/, 'b'));
  const up = await upWith(settings, '--keep');
  await waitFor('the pools', () => instances().length === 7);
  const claimed = idOf((await up.ephemera('run', 'a', '--timeout', '5m', '--wait')).out);
  up.signal('SIGINT');
  const { code, out } = await up.ended;
  expect(code).toBe(0);
  expect(left.processes()).toEqual([]);
  const [kept = '', ...more] = instances();
  expect(more).toEqual([]);
  const label = left.docker(
    'inspect',
    '--format',
    '{{index .Config.Labels "ephemera.instance"}}',
    kept,
  );
  expect(label).toBe(claimed);
  expect(left.rules(left.bridge())).not.toEqual([]);
  expect(out).toContain(`1 instance of this start: ${claimed}`);
  expect(out).toContain('The next start ends overdue instances');
});

test('kept instances of an earlier run survive with their network and rules, until they end', async () => {
  const settings = templates(PLAIN);
  const first = await upWith(settings, '--keep');
  const id = idOf((await first.ephemera('run', 'a', '--timeout', '5m', '--wait')).out);
  first.signal('SIGINT');
  await first.ended;
  const bridge = left.bridge();
  const before = { containers: left.containers(), rules: left.rules(bridge) };

  const second = await upWith(settings);
  await second.ephemera('run', 'a', '--timeout', '5m', '--wait');
  expect(instances()).toHaveLength(2);
  second.signal('SIGINT');
  const { out } = await second.ended;
  expect({ containers: left.containers(), rules: left.rules(bridge) }).toEqual(before);
  expect(out).toContain('1 instance ended');
  expect(out).toContain(`1 instance of an earlier start: ${id}`);
  expect(out).toContain(`EPHEMERA_NAMESPACE=${place.namespace} npx ephemera clean`);

  const third = await upWith(settings);
  await third.ephemera('kill', id);
  await waitFor('its end', () => left.containers().length === 0);
  third.signal('SIGINT');
  await third.ended;
  expectNothing(bridge);
});

test('a network that existed before stays with its rules', async () => {
  const settings = templates(PLAIN);
  // A killed worker leaves its network and rules.
  const lone = place.launch(
    [process.execPath, join(workspace, 'apps/worker/src/main.ts')],
    settings,
  );
  await waitFor('the worker', () => lone.said().includes('worker ready'));
  lone.signal('SIGKILL');
  await lone.ended;
  const bridge = left.bridge();
  const before = { networks: left.networks(), rules: left.rules(bridge) };
  expect(before.rules).not.toEqual([]);

  const broken = place.launch(UP, { ...settings, ...hanging('dashboard/src/main.ts') });
  await waitFor('the worker', worker);
  broken.signal('SIGINT');
  await broken.ended;
  expect({ networks: left.networks(), rules: left.rules(bridge) }).toEqual(before);

  const whole = await upWith(settings);
  whole.signal('SIGINT');
  const { out } = await whole.ended;
  expect({ networks: left.networks(), rules: left.rules(bridge) }).toEqual(before);
  expect(out).toContain(`the network ${place.namespace}: it existed before this start`);
});

test('no anonymous volume remains', async () => {
  const image = `${place.namespace}-volume`;
  execFileSync('docker', ['build', '-q', '-t', image, '-'], {
    input: 'FROM ephemera/demo\nVOLUME /data\n',
    stdio: 'pipe',
  });
  onTestFinished(() => void left.docker('rmi', image));
  const up = await upWith(
    templates(`a: { image: ${image}, port: 8080, pool: 2, readOnly: false }`),
  );
  await waitFor('the pool', () => instances().length === 2);
  const format = '{{range .Mounts}}{{.Name}} {{end}}';
  const volumes = left.docker('inspect', '--format', format, ...instances()).split(/\s+/);
  expect(volumes).toHaveLength(2);
  up.signal('SIGINT');
  await up.ended;
  expect(left.containers()).toEqual([]);
  const names = left.docker('volume', 'ls', '-q').split('\n');
  expect(names.filter((name) => volumes.includes(name))).toEqual([]);
});

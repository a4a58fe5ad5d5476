import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { buildTestImage, waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { docker } from './docker-cli.ts';

// `ephemera try` on real images. The images are the demo's busybox with another start.

const client = join(import.meta.dirname, '../../../apps/cli/src/main.ts');

let namespace: string;
beforeEach(() => {
  namespace = `e2e-${randomBytes(4).toString('hex')}`;
});
// No test leaves anything, however the command ended.
afterEach(async () => {
  expect(await left()).toEqual([]);
});

async function left(): Promise<string[]> {
  const label = '{{.Label "ephemera.namespace"}}';
  const found = [
    ...(await docker('ps', '-a', '--format', label)),
    ...(await docker('network', 'ls', '--format', label)),
  ];
  return found.filter((name) => name.startsWith(`${namespace}-try-`));
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Starts `ephemera`. */
const start = (...args: string[]) => startWith({}, ...args);

function startWith(
  settings: Readonly<Record<string, string>>,
  ...args: string[]
): {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
} {
  const child = spawn(process.execPath, [client, ...args], {
    env: {
      ...process.env,
      EPHEMERA_NAMESPACE: namespace,
      EPHEMERA_CONFIG: '/nowhere/ephemera.yml',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const ended = Promise.all([code, text(child.stdout), text(child.stderr)]);
  return { child, ended: ended.then(([exit, out, err]) => ({ code: exit, out, err })) };
}

const tried = (...args: string[]) => start('try', ...args).ended;

/** The lines of a template that `try` has printed beyond `image` and `port`. `check` accepts its file. */
async function linesIn(file: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-try-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'ephemera.yml'), file);
  expect(await start('check', join(folder, 'ephemera.yml')).ended).toMatchObject({ code: 0 });
  const lines = file.split('\n').filter((line) => /^ {4}[a-zA-Z]/.test(line));
  expect(lines.slice(0, 2).join()).toMatch(/^ {4}image: \S+, {4}port: \d+$/);
  return lines.slice(2).map((line) => line.trim());
}

/** Builds an image from the demo's with the lines of a Dockerfile. */
async function imageOf(name: string, ...lines: string[]): Promise<string> {
  const tag = `ephemera-e2e/try-${name}`;
  const context = await mkdtemp(join(tmpdir(), 'ephemera-try-'));
  onTestFinished(async () => {
    await docker('rmi', tag);
    await rm(context, { recursive: true });
  });
  await writeFile(join(context, 'Dockerfile'), ['FROM ephemera/demo', ...lines].join('\n'));
  await buildTestImage(tag, context);
  return tag;
}

const SERVE = 'exec httpd -f -p 8080 -h /tmp';

test('an image that needs nothing gets a template of two lines, which is valid', async () => {
  const { code, out } = await tried('ephemera/demo');
  expect(code).toBe(0);
  expect(out).toBe('templates:\n  demo:\n    image: ephemera/demo\n    port: 8080\n');
  expect(await linesIn(out)).toEqual([]);
});

test('an image with files of root gets its user, and nothing more', async () => {
  const image = await imageOf(
    'root',
    'USER 0',
    'RUN echo secret > /secret && chmod 600 /secret',
    `CMD ["/bin/sh", "-c", "cat /secret && ${SERVE}"]`,
  );
  const { code, out, err } = await tried(image);
  expect(err).toContain('user: image');
  expect(code).toBe(0);
  expect(await linesIn(out)).toEqual(['user: image']);
  expect(out).toMatch(/# .*root on the host\.\n {4}user: image\n$/);
});

test('an image that writes outside of /tmp gets a tmpfs there', async () => {
  const image = await imageOf(
    'writes',
    'USER 0',
    'RUN mkdir /data',
    `CMD ["/bin/sh", "-c", "echo 1 > /data/x && ${SERVE}"]`,
  );
  const { code, out } = await tried(image, '--json');
  expect(code).toBe(0);
  const result = JSON.parse(out) as { works: boolean; lines: { line: string; cost: string }[] };
  expect(result.works).toBe(true);
  expect(result.lines.map(({ line }) => line)).toEqual(['tmpfs: { /data: 64m }']);
});

test('an image that exits soon after it serves does not count as one that works', async () => {
  const image = await imageOf(
    'short',
    'CMD ["/bin/sh", "-c", "(sleep 2; echo gone >&2; kill 1) & httpd -p 8080 -h /tmp; wait"]',
  );
  const { code, err } = await tried(image);
  expect(code).toBe(1);
  expect(err).toMatch(/No template was found(.|\n)*exited(.|\n)*gone/);
});

test('the first page counts, also if it takes longer than a probe', async () => {
  const image = await imageOf(
    'late-page',
    'USER 0',
    `RUN mkdir /data && printf '%s\\n' '#!/bin/sh' 'sleep 15' \\
      'touch /data/page || kill $(cat /tmp/pid)' \\
      'printf "HTTP/1.0 200 OK\\r\\n\\r\\n"' > /page && chmod 755 /page`,
    // A port that is silent for a moment is ready, as one of a protocol without a greeting is.
    'CMD ["/bin/sh", "-c", "nc -ll -p 8080 -e /page & echo $! > /tmp/pid; wait"]',
  );
  const { code, out, err } = await tried(image);
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(await linesIn(out)).toEqual(['tmpfs: { /data: 64m }']);
}, 180_000);

test('an image that listens on loopback only is reported with its log and the hint', async () => {
  const image = await imageOf(
    'loopback',
    'CMD ["/bin/sh", "-c", "echo Listening on 127.0.0.1:8080; exec httpd -f -p 127.0.0.1:8080"]',
  );
  const { code, out, err } = await tried(image, '--timeout', '3s');
  expect(code).toBe(1);
  expect(out).toBe('');
  expect(err).toMatch(
    /serves on port 8080(.|\n)*Listening on 127\.0\.0\.1:8080\n.*Hint: .*0\.0\.0\.0/,
  );
});

test('a port is required where the image names none or several', async () => {
  const image = await imageOf('ports', 'EXPOSE 9000');
  const several = await tried(image);
  expect(several).toMatchObject({ code: 1, out: '' });
  expect(several.err).toContain('exposes several ports: 8080, 9000');
  expect(several.err).toContain('--port N');
  expect((await tried(image, '--port', '8080')).code).toBe(0);
});

test('an image that does not exist is reported', async () => {
  const { code, err } = await tried('127.0.0.1:1/no/such:image', '--timeout', '1s');
  expect(code).toBe(1);
  expect(err).toContain('127.0.0.1:1');
});

test('a range that another network uses is named, with the setting', async () => {
  const range = `10.${randomInt(200, 229)}.0.0/16`;
  const other = `${namespace}-other`;
  await docker('network', 'create', '--subnet', range, other);
  onTestFinished(() => docker('network', 'rm', other).then(() => undefined));
  const { code, err } = await startWith({ EPHEMERA_SUBNET: range }, 'try', 'ephemera/demo').ended;
  expect(code).toBe(1);
  expect(err).toContain(`  ${range}: `);
  expect(err).toContain('Set EPHEMERA_SUBNET to /16 ranges of which one is free');
});

/** Starts a trial that lasts. Returns the command, and the process id of its program. */
async function startLongTrial() {
  const image = await imageOf('lasts', 'CMD ["sleep", "600"]');
  const { child } = start('try', image);
  const ended = new Promise((resolve) => child.once('close', resolve));
  const container = await waitFor('a container', async () => {
    return (await docker('ps', '-q', '--filter', `ancestor=${image}`))[0];
  });
  const [name = ''] = await left();
  const [, pid] = /-(\d+)-\d+$/.exec(name) ?? [];
  return { child, container, pid: Number(pid), ended };
}

test('what a killed trial has left is removed by the next one', async () => {
  const { child, pid, ended } = await startLongTrial();
  process.kill(pid, 'SIGKILL');
  child.kill('SIGKILL');
  await ended;
  expect(await left()).not.toEqual([]);
  const { code, err } = await tried('ephemera/demo');
  expect(code).toBe(0);
  expect(err).toContain('removing what the killed trial');
  expect(await left()).toEqual([]);
});

test('the next trial does not disturb one that runs', async () => {
  const { child, container, ended } = await startLongTrial();
  const { code, err } = await tried('ephemera/demo');
  expect(code).toBe(0);
  expect(err).not.toContain('killed trial');
  expect(await docker('ps', '-q', '--filter', `id=${container}`)).toEqual([container]);
  child.kill('SIGINT');
  await ended;
});

test('if only the command is killed, its program removes everything', async () => {
  const { child, ended } = await startLongTrial();
  child.kill('SIGKILL');
  await ended;
  await waitFor('the removal', async () => (await left()).length === 0);
});

test('a start has the labels, limits and rules of an instance; Ctrl-C removes everything', async () => {
  const image = await imageOf('waits', 'CMD ["sleep", "600"]');
  const { child, ended } = start('try', image);
  const id = await waitFor('a container', async () => {
    const filters = ['--filter', `ancestor=${image}`, '--filter', 'label=ephemera.role=instance'];
    return (await docker('ps', '-q', ...filters))[0];
  });
  const [seen] = JSON.parse((await docker('inspect', id)).join('\n')) as [
    {
      Config: { User: string; Labels: Record<string, string> };
      HostConfig: Record<string, unknown> & { NetworkMode: string };
    },
  ];
  expect(seen.Config.User).toBe('65534:65534');
  expect(seen.Config.Labels['ephemera.namespace']).toMatch(new RegExp(`^${namespace}-try-`));
  expect(seen.HostConfig).toMatchObject({
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    Memory: 256 * 1024 ** 2,
    PidsLimit: 128,
  });
  const { NetworkMode: network } = seen.HostConfig;
  const format = '{{index .Options "com.docker.network.bridge.name"}}';
  const [bridge = ''] = await docker('network', 'inspect', '--format', format, network);
  expect(await rules()).toContain(`-i ${bridge} `);
  child.kill('SIGINT');
  const { code, err } = await ended;
  expect(code).toBe(1);
  expect(err).toContain('Interrupted');
  expect(await rules()).not.toContain(bridge);
});

async function rules(): Promise<string> {
  return text(spawn('iptables', ['-w', '5', '-S']).stdout);
}

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { freePort, startRedis, waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { leftBehind } from './left-behind.ts';
import { workspace } from './started-up.ts';

// A user without root, who may use Docker because of the group of its socket, starts everything
// from a checkout of their own.

const SOCKET = '/var/run/docker.sock';
const key = randomBytes(4).toString('hex');
const user = `eph-${key}`;
const namespace = `group-${key}`;
const here = leftBehind(namespace);

let folder: string;
let ids: { readonly uid: number; readonly gid: number };
let redis: Awaited<ReturnType<typeof startRedis>>;
let environment: NodeJS.ProcessEnv;
const checkout = () => join(folder, 'checkout');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'eph-group-'));
  const groups = String(statSync(SOCKET).gid);
  const account = ['--system', '--no-create-home', '--home-dir', folder, '--user-group'];
  execFileSync('useradd', [...account, '--groups', groups, user]);
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(execFileSync('id', [flag, user], { encoding: 'utf8' })),
  ) as [number, number];
  ids = { uid, gid };
  copyCheckout();
  redis = await startRedis();
  const config = join(folder, 'ephemera.yml');
  writeFileSync(config, 'templates: { demo: { image: ephemera/demo, port: 8080 } }');
  environment = {
    // As a login shell of Debian sets it, without the folders of iptables.
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: folder,
    EPHEMERA_CONFIG: config,
    EPHEMERA_NAMESPACE: namespace,
    EPHEMERA_REDIS_URL: redis.url,
    EPHEMERA_PUBLIC_PORT: String(await freePort()),
    EPHEMERA_ADMIN_PORT: String(await freePort()),
    EPHEMERA_DASHBOARD_PORT: String(await freePort()),
    EPHEMERA_WORKER_PORT: String(await freePort()),
  };
}, 300_000);

afterAll(async () => {
  await redis.stop();
  execFileSync('userdel', [user]);
  // Root does not need it.
  here.docker('rmi', 'ephemera/firewall:local');
  rmSync(folder, { recursive: true, force: true });
});

/** The files of the working tree, which the user owns, and the packages, which it may only read. */
function copyCheckout(): void {
  const copy = checkout();
  const [files, packages] = ['git ls-files -co --exclude-standard -z', 'node_modules'];
  const tar = `cd "$0" && ${files} | tar --null --ignore-failed-read -cf - -T - 2>/dev/null`;
  execFileSync('sh', ['-c', `mkdir "$1" && ${tar} | tar -xf - -C "$1"`, workspace, copy]);
  execFileSync('chown', ['-R', `${ids.uid}:${ids.gid}`, folder]);
  try {
    execFileSync('cp', ['-al', join(workspace, packages), copy], { stdio: 'pipe' });
  } catch {
    // Another file system.
    rmSync(join(copy, packages), { recursive: true, force: true });
    cpSync(join(workspace, packages), join(copy, packages), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  chownSync(join(copy, packages), ids.uid, ids.gid);
}

function asUser(...command: string[]) {
  const rights = ['--reuid', String(ids.uid), '--regid', String(ids.gid), '--init-groups'];
  const child = spawn('setpriv', [...rights, '--', ...command], {
    cwd: checkout(),
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  const ended = Promise.all([exit, text(child.stderr)]).then(([code, err]) => ({
    code,
    out: said,
    err,
  }));
  return { child, said: () => said, ended };
}

const node = () => join(checkout(), `node_modules/node-linux-${process.arch}/bin/node`);
/** What `npm start` runs. */
const npmStart = () => asUser(node(), 'scripts/start.mjs', '--proxies', '1');
const ephemera = (...args: string[]) => asUser(node(), 'apps/cli/src/main.ts', ...args).ended;

test('the user may use Docker, but not the firewall', async () => {
  expect((await asUser('docker', 'ps').ended).code).toBe(0);
  const { code, err } = await asUser('/usr/sbin/iptables', '-S').ended;
  expect({ code, err }).toMatchObject({ code: 4, err: expect.stringMatching(/denied/i) as string });
});

test('an untrusted template starts, is isolated, and leaves nothing', async () => {
  const started = npmStart();
  let hasEnded = false;
  void started.ended.then(() => (hasEnded = true));
  await waitFor('the start', () => started.said().includes('Ephemera is up') || hasEnded);
  expect(started.said()).toContain('because this user is not root');
  expect(started.said()).toContain('Ephemera is up');

  const site = `http://127.0.0.1:${environment['EPHEMERA_PUBLIC_PORT']}`;
  const [first, second] = [await start(), await start()];
  async function start() {
    const { code, out, err } = await ephemera('run', 'demo', '--timeout', '5m', '--wait', '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const { id } = JSON.parse(out) as { id: string };
    const [container = ''] = here.containers(`label=ephemera.instance=${id}`);
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}';
    const [address = '', gateway = ''] = here
      .docker('inspect', '--format', format, container)
      .split(' ');
    return { id, container, address, gateway };
  }
  expect(await (await fetch(`${site}/demo/${first.id}/id`)).text()).toBe(first.id);

  const bridge = here.bridge();
  expect(here.rules(bridge).length).toBeGreaterThan(10);
  await isolated();
  async function isolated(): Promise<void> {
    const server = createServer((_, response) => response.end('reached'));
    await new Promise((resolve) => server.listen(0, '0.0.0.0', () => resolve(undefined)));
    const { port } = server.address() as AddressInfo;
    const reaches = (to: string, at: number) =>
      inside(`printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${to} ${at} | grep -q HTTP`);
    const inside = (line: string) => {
      const command = ['exec', first.container, 'sh', '-c', `${line} && echo yes || echo no`];
      return here.docker(...command).endsWith('yes');
    };
    try {
      // The probe itself works, and the other instance answers the host.
      expect(reaches('127.0.0.1', 8080)).toBe(true);
      expect((await fetch(`http://${second.address}:8080/id`)).status).toBe(200);
      expect(reaches(second.address, 8080)).toBe(false);
      expect(reaches(first.gateway, port)).toBe(false);
      const others = Object.values(networkInterfaces()).flat();
      for (const { family, internal, address } of others.filter((item) => item !== undefined)) {
        if (family === 'IPv4' && !internal) expect(reaches(address, port)).toBe(false);
      }
      const begun = performance.now();
      expect(inside('nslookup example.org')).toBe(false);
      expect(performance.now() - begun).toBeLessThan(4_000);
    } finally {
      server.close();
    }
  }

  expect((await ephemera('renew', first.id, '--timeout', '20m')).code).toBe(0);
  expect((await ephemera('kill', first.id)).code).toBe(0);
  await waitFor('410', async () => (await fetch(`${site}/demo/${first.id}/id`)).status === 410);
  started.child.kill('SIGINT');
  expect(await started.ended).toMatchObject({ code: 0, err: '' });
  expect(here.containers()).toEqual([]);
  expect(here.networks()).toEqual([]);
  expect(here.rules(bridge)).toEqual([]);
}, 300_000);

test('`ephemera try` and `ephemera clean` set and remove the rules in the same way', async () => {
  const tried = await ephemera('try', 'ephemera/demo');
  expect(tried).toMatchObject({ code: 0 });
  expect(tried.out).toContain('image: ephemera/demo');
  expect(await ephemera('clean')).toMatchObject({ code: 0 });
}, 240_000);

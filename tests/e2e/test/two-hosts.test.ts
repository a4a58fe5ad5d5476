import type { ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keysOf } from '@ephemera/store';
import { startOwnEngine, startOwnMachine, waitFor } from '@ephemera/test-support';
import type { OwnEngine, OwnMachine } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TEMPLATES } from './templates.ts';

// Two simulated machines, each with a Docker daemon, a worker and a proxy, on one Redis. With
// default settings, both would use the same instance addresses. The tests depend on each other.

const NAMESPACE = 'twohosts';
const REDIS_PORT = 6390;
const PORTS = { public: 8080, worker: 8083 };
const SUBNET = '10.231.0.0/16';
const keys = keysOf(NAMESPACE);
const root = join(import.meta.dirname, '../../..');

/** A program on a machine, with its output. */
interface Program {
  readonly child: ChildProcess;
  log(): string;
}

/** A machine with a Docker daemon. */
class Host {
  readonly id: string;
  readonly machine: OwnMachine;
  readonly engine: OwnEngine;
  constructor(id: string, machine: OwnMachine, engine: OwnEngine) {
    this.id = id;
    this.machine = machine;
    this.engine = engine;
  }

  static async start(id: string): Promise<Host> {
    const machine = await startOwnMachine();
    try {
      const folder = join(machine.folder, 'engine');
      await mkdir(folder);
      const engine = await startOwnEngine({
        folder,
        spawn: (...command) => machine.spawnIn('host', ...command),
        images: ['ephemera/demo'],
      });
      return new Host(id, machine, engine);
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.engine.stop();
    await this.machine.stop();
  }

  run(...command: string[]): Program {
    const child = this.machine.spawnIn('host', ...command);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    }
    return { child, log: () => text };
  }

  /** Starts an app with the settings of the deployment. */
  app(name: 'proxy' | 'worker', more: Record<string, string> = {}): Promise<Program> {
    return this.program(join(root, `apps/${name}/src/main.ts`), more);
  }

  async program(main: string, more: Record<string, string>): Promise<Program> {
    const config = join(this.machine.folder, 'ephemera.yml');
    await writeFile(config, TEMPLATES.replace('timeout: 60s', 'timeout: 10m'));
    const env = {
      DOCKER_HOST: this.engine.dockerHost,
      EPHEMERA_HOST_ID: this.id,
      EPHEMERA_REDIS_URL: `redis://192.0.2.1:${REDIS_PORT}/0`,
      EPHEMERA_NAMESPACE: NAMESPACE,
      EPHEMERA_CONFIG: config,
      EPHEMERA_ADMIN_TOKEN: 'a-token-of-the-test-that-nobody-guesses',
      // These tests do not check what instances can reach.
      EPHEMERA_FIREWALL: 'off',
      ...more,
    };
    const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    return this.run('env', ...settings, process.execPath, main);
  }

  /** Sends a request from the machine to one of its own ports. Returns the status and the body. */
  async get(port: number, path: string): Promise<{ status: number; body: string }> {
    const script = `const answer = await fetch(process.argv[1], { redirect: 'manual' });
      console.log(JSON.stringify({ status: answer.status, body: await answer.text() }));`;
    const url = `http://127.0.0.1:${port}${path}`;
    const { child, log } = this.run(process.execPath, '--input-type=module', '-e', script, url);
    await new Promise((resolve) => child.once('close', resolve));
    const text = log();
    if (!text.startsWith('{')) throw new Error(text);
    return JSON.parse(text) as { status: number; body: string };
  }

  async newInstance(): Promise<string> {
    const { status, body } = await this.get(PORTS.public, '/demo/new?redirect=0');
    expect([status, body]).toEqual([200, expect.stringMatching(/^[a-z][a-z0-9]{25}$/)]);
    return body;
  }

  /** Requests the id that the instance itself reports, through the proxy of this machine. */
  instance(id: string) {
    return this.get(PORTS.public, `/demo/${id}/id`);
  }

  async containers(): Promise<number> {
    const ids = await this.engine.docker('ps', '-q', '--filter', 'label=ephemera.instance');
    return ids === '' ? 0 : ids.split('\n').length;
  }
}

let host: Host;
let two: Host;
let workerOne: Program;
let proxyTwo: Program;
/** An instance on the first machine. */
let first: string;
/** Cleanup functions, also for a setup that failed halfway. */
const cleanUps: (() => unknown)[] = [];

beforeAll(async () => {
  host = await Host.start('h1');
  cleanUps.unshift(() => host.stop());
  two = await Host.start('h2');
  cleanUps.unshift(() => two.stop());
  // A virtual cable between the machines.
  const sleeper = two.run('sh', '-c', 'echo there && exec sleep infinity');
  await waitFor('a process in the second network namespace', () => sleeper.log().includes('there'));
  await host.machine.hostSays(
    `ip link add cable type veth peer name cable netns ${sleeper.child.pid} &&
    ip address add 192.0.2.1/30 dev cable && ip link set cable up`,
  );
  await two.machine.hostSays('ip address add 192.0.2.2/30 dev cable && ip link set cable up');
  const settings = ['--save', '', '--maxmemory-policy', 'noeviction', '--protected-mode', 'no'];
  host.run('redis-server', '--port', String(REDIS_PORT), '--bind', '0.0.0.0', ...settings);
  await waitFor('Redis', async () => (await redis('PING').catch(() => '')) === 'PONG');

  workerOne = await host.app('worker');
  cleanUps.unshift(() => workerOne.child.kill('SIGCONT'));
  await ready(workerOne, 'worker ready');
  await ready(await host.app('proxy'), 'proxy ready');
  proxyTwo = await two.app('proxy');
  await ready(proxyTwo, 'proxy ready');
  first = await host.newInstance();
  await waitFor('the first instance', async () => (await host.instance(first)).body === first);
}, 180_000);
afterAll(async () => {
  for (const cleanUp of cleanUps) await cleanUp();
});

async function redis(...command: string[]): Promise<string> {
  const quoted = command.map((text) => `'${text}'`).join(' ');
  return (await host.machine.hostSays(`redis-cli -p ${REDIS_PORT} ${quoted}`)).trim();
}

async function ready({ child, log }: Program, words: string): Promise<void> {
  await waitFor(
    words,
    () => {
      if (child.exitCode !== null) throw new Error(log());
      return log().includes(words);
    },
    60_000,
  );
}

async function exit({ child }: Program): Promise<number | null> {
  await waitFor('the exit of the program', () => child.exitCode !== null, 60_000);
  return child.exitCode;
}

test('the first host registers its network and logs it', async () => {
  const registration = JSON.parse(await redis('GET', keys.registration('h1'))) as object;
  expect(registration).toMatchObject({ networks: [SUBNET] });
  expect(workerOne.log()).toContain(SUBNET);
});

test('a second daemon with the id of the first is refused, and the instances of the first survive', async () => {
  const subnet = { EPHEMERA_HOST_ID: 'h1', EPHEMERA_SUBNET: '10.240.0.0/16' };
  const clone = await two.app('worker', subnet);
  expect(await exit(clone)).toBe(1);
  expect(clone.log()).toContain('The host id "h1" belongs to another Docker daemon');
  expect(clone.log()).toContain('Set EPHEMERA_HOST_ID to a different name on each machine');
  expect(await host.containers()).toBe(1);
  expect(await host.instance(first)).toEqual({ status: 200, body: first });
  await two.engine.docker('network', 'rm', NAMESPACE);
}, 90_000);

test('without the check, a second daemon under the same id ends the instances of the first', async () => {
  const unchecked = join(import.meta.dirname, 'unchecked-worker.ts');
  const subnet = { EPHEMERA_HOST_ID: 'h1', EPHEMERA_SUBNET: '10.240.0.0/16' };
  const clone = await two.program(unchecked, subnet);
  await waitFor(
    'the end of the instance',
    async () => {
      if (clone.child.exitCode !== null) throw new Error(clone.log());
      return (await host.instance(first)).status === 410;
    },
    60_000,
  );
  // A graceful stop would remove the registration of the first host.
  clone.child.kill('SIGKILL');
  await waitFor('the end of the worker', () => clone.child.signalCode !== null);
  await two.engine.docker('network', 'rm', NAMESPACE);
  first = await host.newInstance();
  await waitFor(
    'another instance',
    async () => (await host.instance(first)).body === first,
    60_000,
  );
}, 150_000);

test('a second host with the same network is refused with a message that names the setting', async () => {
  const second = await two.app('worker');
  expect(await exit(second)).toBe(1);
  expect(second.log()).toContain(
    `The network ${SUBNET} of the host h2 overlaps the network ${SUBNET} of the host h1`,
  );
  expect(second.log()).toContain('Set EPHEMERA_SUBNET');
  expect(JSON.parse(await redis('GET', keys.registration('h1')))).toMatchObject({
    networks: [SUBNET],
  });
}, 90_000);

test('when the first host stops responding, the second gets the network, and routes of the first are refused', async () => {
  workerOne.child.kill('SIGSTOP');
  // Makes the second host assign the address of the first instance again.
  const turn = Number(await redis('GET', keys.addresses('h1')));
  await redis('SET', keys.addresses('h2'), String(turn - 1));
  await ready(await two.app('worker'), 'worker ready');
  const second = await two.newInstance();
  await waitFor(
    'the second instance',
    async () => (await two.instance(second)).body === second,
    60_000,
  );
  const addressOf = (id: string) => redis('HGET', keys.instance(id), 'address');
  expect(await addressOf(second)).toBe(await addressOf(first));

  const refused = await two.instance(first);
  expect(refused.status).toBe(503);
  expect(JSON.parse(refused.body)).toMatchObject({
    type: 'urn:ephemera:problem:host_unregistered',
  });
  expect((await host.instance(first)).status).toBe(503);
  expect(proxyTwo.log()).toContain('route refused');

  // Simulates registrations without the overlap check. The same request then reaches the instance
  // of another visitor, so the registration alone prevents this.
  const registration = JSON.parse(await redis('GET', keys.registration('h1'))) as object;
  const unchecked = JSON.stringify({ ...registration, networks: [SUBNET] });
  await redis('SET', keys.registration('h1'), unchecked);
  expect(await two.instance(first)).toEqual({ status: 200, body: second });
  await redis('SET', keys.registration('h1'), JSON.stringify(registration));
  // The proxy keeps the connection to that upstream for some time.
  await sleep(6_000);
  expect((await two.instance(first)).status).toBe(503);

  workerOne.child.kill('SIGCONT');
  await ready(workerOne, 'instances can no longer be started');
  expect(workerOne.child.exitCode).toBeNull();
  const readiness = await host.get(PORTS.worker, '/readyz');
  expect(readiness.status).toBe(503);
  expect(readiness.body).toContain('"networks":false');
  expect(await two.instance(second)).toEqual({ status: 200, body: second });
}, 150_000);

test('a forged route to an address outside the networks of its host is refused', async () => {
  const forged = 'aforged'.padEnd(26, 'a');
  const route = JSON.parse(await redis('GET', keys.route(first))) as object;
  // The Redis of the deployment, an address that an attacker would choose.
  const more = { host: 'h2', address: '192.0.2.1', port: REDIS_PORT, ports: { web: REDIS_PORT } };
  await redis('SET', keys.route(forged), JSON.stringify({ ...route, ...more }));
  const answer = await two.instance(forged);
  expect(answer.status).toBe(503);
  expect(answer.body).toContain('host_unregistered');
});

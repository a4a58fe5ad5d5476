import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startOwnEngine, startOwnMachine, waitFor } from '@ephemera/testing';
import type { OwnEngine, OwnMachine } from '@ephemera/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';

// A worker, its Redis and its Docker daemon on a machine of the test's own.

let machine: OwnMachine;
let engine: OwnEngine | undefined;
let log = '';

beforeAll(async () => {
  machine = await startOwnMachine();
  engine = await startOwnEngine({
    folder: machine.folder,
    spawn: (...command) => machine.spawnIn('host', ...command),
  });
  const redis = ['--save', '', '--maxmemory-policy', 'noeviction', '--dir', machine.folder];
  machine.spawnIn('host', 'redis-server', ...redis);
  await waitFor('Redis', () => machine.hostSays('redis-cli ping'));
  const config = join(machine.folder, 'ephemera.yml');
  await writeFile(config, 'templates: { demo: { image: ephemera/demo, port: 8080 } }');
  const settings = {
    PATH: process.env['PATH'],
    DOCKER_HOST: engine.dockerHost,
    EPHEMERA_CONFIG: config,
    EPHEMERA_FIREWALL: 'required',
  };
  const env = Object.entries(settings).map(([name, value]) => `${name}=${value ?? ''}`);
  const main = join(import.meta.dirname, '../src/main.ts');
  const worker = machine.spawnIn('host', 'env', '-i', ...env, process.execPath, main);
  for (const stream of [worker.stdout, worker.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (log += text));
  }
  await waitFor('the worker', () => {
    if (worker.exitCode !== null) throw new Error(`the worker ended:\n${log}`);
    return log.includes('worker ready');
  });
});

afterAll(async () => {
  await engine?.stop();
  await machine.stop();
});

const JUMP = 'INPUT -j EPHEMERA-EPH0-I';
const stands = async () => (await machine.hostSays('iptables -S INPUT')).includes(`-A ${JUMP}`);
const takeAway = async () => {
  await machine.hostSays(`iptables -D ${JUMP}`);
  expect(await stands()).toBe(false);
};

test('the rules are set again when the daemon has come back', async () => {
  // With a network that it cannot use, the worker does not come to the rules every ten seconds.
  const odd = '--label ephemera.namespace=ephemera --subnet 10.99.0.0/24 ephemera.2';
  await engine?.docker('network', 'create', ...odd.split(' '));
  await waitFor('the fault', () => log.includes('is no bridge with an IPv4 /16'), 30_000);
  await takeAway();
  await engine?.restart();
  await waitFor('the rules', stands);
  await engine?.docker('network', 'rm', 'ephemera.2');
});

test('and every ten seconds', async () => {
  await takeAway();
  await waitFor('the rules', stands, 30_000);
});

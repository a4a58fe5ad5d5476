import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startOwnEngine, startOwnMachine, waitFor } from '@ephemera/test-support';
import type { OwnEngine, OwnMachine } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';

// A worker with its own Redis and Docker daemon on a machine of the test.

let machine: OwnMachine;
let engine: OwnEngine | undefined;
let log = '';
/** While this file exists, the first script that calls iptables waits. */
let hold: string;

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
  const bin = join(machine.folder, 'bin');
  hold = join(machine.folder, 'hold');
  await mkdir(bin);
  await writeFile(join(bin, 'iptables'), waitingIptables(hold), { mode: 0o755 });
  const settings = {
    PATH: `${bin}:${process.env['PATH']}`,
    DOCKER_HOST: engine.dockerHost,
    EPHEMERA_CONFIG: config,
    EPHEMERA_FIREWALL: 'required',
  };
  const env = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const main = join(import.meta.dirname, '../../../apps/worker/src/main.ts');
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

/** A wrapper of iptables. The first call that sees the file waits until the file is removed. */
function waitingIptables(file: string): string {
  return `#!/bin/sh
if [ -e ${file} ] && mkdir ${file}.taken 2>/dev/null; then
  while [ -e ${file} ]; do sleep 0.1; done
fi
PATH="\${PATH#*:}"
exec iptables "$@"
`;
}

const JUMP = 'INPUT -j EPHEMERA-EPH0-I';
const hasJump = async () => (await machine.hostSays('iptables -S INPUT')).includes(`-A ${JUMP}`);
const removeJump = async () => {
  await machine.hostSays(`iptables -D ${JUMP}`);
  expect(await hasJump()).toBe(false);
};

/**
 * Runs `work` while the wrapper of iptables blocks an assertion of the rules, which the worker
 * starts every ten seconds.
 */
const whileHeld = async (work: () => Promise<unknown>) => {
  const taken = `${hold}.taken`;
  await writeFile(hold, '');
  try {
    await waitFor('the worker to be held', () => stat(taken));
    await work();
  } finally {
    await rm(hold);
    await rm(taken, { recursive: true, force: true });
  }
};

test('the rules are restored after a restart of the daemon', async () => {
  await whileHeld(async () => {
    await removeJump();
    await engine?.restart();
    await waitFor('the rules', hasJump);
  });
});

test('the rules are restored every ten seconds, even if the network is unusable', async () => {
  await whileHeld(async () => {
    await engine?.docker('network', 'rm', 'ephemera');
    const odd = '--subnet 10.231.0.0/16 -o com.docker.network.bridge.name=eph0 ephemera';
    await engine?.docker('network', 'create', ...odd.split(' '));
  });
  await waitFor('the fault', () => log.includes('lets containers reach each other'));
  await removeJump();
  await waitFor('the rules', hasJump);
});

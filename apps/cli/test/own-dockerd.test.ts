import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';

import { startOwnMachine, waitFor } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { leftBehind } from './left-behind.ts';
import { client, workspace } from './started-up.ts';

let machine: Awaited<ReturnType<typeof startOwnMachine>>;
const namespace = `own-${randomBytes(4).toString('hex')}`;
beforeEach(async () => {
  machine = await startOwnMachine();
  // Neither Docker nor Redis runs there, and their data belongs to the test.
  await machine.hostSays(
    `mkdir ${machine.folder}/docker && mount -t tmpfs tmpfs /run && mkdir -p /var/lib/docker &&
     mount --bind ${machine.folder}/docker /var/lib/docker`,
  );
});
afterEach(async () => {
  await machine.stop();
  await rm(join(workspace, '.ephemera', namespace), { recursive: true, force: true });
});

/** Runs `up` there, and waits until everything is ready. */
async function up(...args: string[]) {
  const settings = [`EPHEMERA_NAMESPACE=${namespace}`, 'EPHEMERA_REDIS_URL=', 'DOCKER_HOST='];
  const child = machine.spawnIn(
    'host',
    'env',
    ...settings,
    process.execPath,
    client,
    'up',
    ...args,
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (said += text));
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const isUp = () => said.includes('Ephemera is up') || child.exitCode !== null;
  await waitFor('the start', isUp, 60_000);
  return { child, ended, said: () => said };
}

const daemonRuns = async () =>
  (await machine.hostSays('kill -0 $(cat /run/docker.pid) 2>/dev/null && echo runs || true')) !==
  '';

test('dockerd and Redis stop with the `up` that started them', async () => {
  const started = await up();
  expect(started.said()).toContain('Ephemera is up');
  expect(await daemonRuns()).toBe(true);
  started.child.kill('SIGINT');
  expect(await started.ended).toBe(0);
  expect(started.said()).toContain('dockerd stopped');
  expect(await daemonRuns()).toBe(false);
  expect(await machine.hostSays('ss -Hltn')).toBe('');
  expect(leftBehind(namespace).processes()).toEqual([]);
});

test('dockerd keeps running with a message if a foreign container runs on it', async () => {
  const started = await up();
  expect(started.said()).toContain('Ephemera is up');
  await machine.hostSays('docker run -d --network none ephemera/demo sleep 600');
  started.child.kill('SIGINT');
  expect(await started.ended).toBe(0);
  expect(started.said()).toMatch(
    /dockerd keeps running, because 1 containers run on it\. Stop it with: kill \d+/,
  );
  expect(await daemonRuns()).toBe(true);
  await machine.hostSays(
    'docker rm -f $(docker ps -q); pid=$(cat /run/docker.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done',
  );
});

import { startSentinel, waitFor } from '@ephemera/test-support';
import type { DataNode, StartedSentinel } from '@ephemera/test-support';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { sentinelReplicas } from './required-replicas.ts';

// A minority of the sentinels may be cut off from replicas that the others can still promote.

let set: StartedSentinel;
beforeEach(async () => {
  set = await startSentinel({ downAfterMs: 60_000 });
});
afterEach(async () => {
  for (const { pid } of [...set.sentinels, ...set.nodes]) process.kill(pid, 'SIGCONT');
  await set.stop();
});

function open() {
  const replicas = sentinelReplicas({ url: set.url });
  onTestFinished(() => replicas.close());
  return replicas;
}

/** Freezes a replica, and waits until these sentinels count it as down. */
async function hideReplica(sentinels: readonly DataNode[]): Promise<void> {
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  process.kill(replica?.pid ?? 0, 'SIGSTOP');
  for (const sentinel of sentinels) {
    await set.command(sentinel, 'SENTINEL', 'SET', set.name, 'down-after-milliseconds', '500');
    await waitFor('the sentinel to notice', async () =>
      JSON.stringify(await set.command(sentinel, 'SENTINEL', 'REPLICAS', set.name)).includes(
        's_down',
      ),
    );
  }
}

test('a minority does not lower the number, a majority does', async () => {
  const replicas = open();
  await waitFor('both', async () => (await replicas.read()) === 2);
  const [first, ...others] = set.sentinels;
  if (!first) throw new Error('there is no sentinel');
  await hideReplica([first]);
  for (const { pid } of others) process.kill(pid, 'SIGSTOP');
  expect(await replicas.read()).toBe(2);
  for (const { pid } of others) process.kill(pid, 'SIGCONT');
  await hideReplica(others);
  await waitFor('the lower number', async () => (await replicas.read()) === 1);
});

test('until a majority has answered, no number is enough', async () => {
  const [, ...others] = set.sentinels;
  for (const { pid } of others) process.kill(pid, 'SIGSTOP');
  const replicas = open();
  const [first] = set.sentinels;
  await waitFor('the connection', async () => {
    const list = String(first && (await set.command(first, 'CLIENT', 'LIST')));
    return list.includes('cmd=sentinel|replicas') || (await replicas.read()) !== Infinity;
  });
  expect(await replicas.read()).toBe(Infinity);
  for (const { pid } of others) process.kill(pid, 'SIGCONT');
  await waitFor('both', async () => (await replicas.read()) === 2);
});

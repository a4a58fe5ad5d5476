import { BootError } from '@ephemera/domain';
import { freePort, startRedis, startSentinel } from '@ephemera/test-support';
import type { StartedSentinel } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { requireRedis } from './require-redis.ts';

// What a process says at its start about a Redis that does not suit.

let set: StartedSentinel;
beforeAll(async () => {
  set = await startSentinel({ replicas: 1 });
});
afterAll(() => set.stop());

async function errorAt(url: string): Promise<string> {
  const redis = connectRedis(url, 'job', () => undefined);
  const error: unknown = await requireRedis(redis, url).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  redis.disconnect();
  if (error === undefined) return '';
  expect(error).toBeInstanceOf(BootError);
  return (error as Error).message;
}

test('a set of sentinels with limits on the replicas is accepted', async () => {
  expect(await errorAt(set.url)).toBe('');
});

test('one sentinel that answers is enough', async () => {
  const gone = `127.0.0.1:${await freePort()}`;
  expect(await errorAt(set.url.replace('://', `://${gone},`))).toBe('');
});

test('what is wrong with each sentinel is said at once, without the password', async () => {
  const closed = await freePort();
  const [known] = set.sentinels;
  const [node] = set.nodes;
  const hosts = [closed, known?.port, node?.port].map((port) => `127.0.0.1:${port}`).join(',');
  const message = await errorAt(`redis-sentinel://app:hunter2@${hosts}/other/0`);
  expect(message).toContain(`No sentinel at redis-sentinel://app:***@${hosts}/other/0 can be used`);
  expect(message).toMatch(new RegExp(`^ {2}127.0.0.1:${closed}: .*ECONNREFUSED`, 'm'));
  expect(message).toContain(`${known?.port}: it knows no master with the name "other"`);
  expect(message).toContain(`${node?.port}: it is not a sentinel`);
  expect(message).not.toContain('hunter2');
});

test('a replica that is configured as the master is refused, and its master is named', async () => {
  const master = await set.master();
  const replica = set.nodes.find(({ port }) => port !== master.port);
  const message = await errorAt(replica?.url ?? '');
  expect(message).toContain(`It is a replica of 127.0.0.1:${master.port} and refuses writes`);
});

test('a cluster is refused with the reason', async () => {
  const server = await startRedis({ args: ['--cluster-enabled', 'yes'] });
  onTestFinished(() => server.stop());
  const message = await errorAt(server.url);
  expect(message).toContain('All keys of a deployment share one hash slot');
});

test.each([
  ['min-replicas-to-write', '0', /^ {2}min-replicas-to-write or min-replicas-max-lag is 0/m],
  ['min-replicas-max-lag', '0', /^ {2}min-replicas-to-write or min-replicas-max-lag is 0/m],
  ['min-replicas-max-lag', '10', /^ {2}min-replicas-max-lag is 10 s/m],
])('with sentinels, %s %s is refused', async (name, value, issue) => {
  const master = await set.master();
  const [, before = ''] = (await set.command(master, 'CONFIG', 'GET', name)) as string[];
  await set.command(master, 'CONFIG', 'SET', name, value);
  onTestFinished(() => set.command(master, 'CONFIG', 'SET', name, before).then(() => undefined));
  expect(await errorAt(set.url)).toMatch(issue);
  // Without sentinels, nothing fails over.
  expect(await errorAt(master.url)).toBe('');
});

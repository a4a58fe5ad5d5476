import { freePort, startSentinel, waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import { connectRedis, connectTracking } from './connect-redis.ts';

const ignore = () => undefined;

test('a connection that is closed while it waits to reconnect ends, with its queued commands', async () => {
  const url = `redis://127.0.0.1:${await freePort()}/0`;
  const job = connectRedis(url, 'job', ignore);
  const connections = {
    job,
    duplicate: job.duplicate(),
    request: connectRedis(url, 'request', ignore),
    watch: connectRedis(url, 'watch', ignore),
    tracking: connectTracking(url, ignore),
  };
  connections.duplicate.on('error', ignore);
  connections.tracking.connect().catch(ignore);
  const queued = job.get('x').catch((error: unknown) => String(error));
  for (const [name, redis] of Object.entries(connections)) {
    await waitFor(`${name} to wait`, () => redis.status === 'reconnecting');
    const ended = new Promise((resolve) => redis.once('end', resolve));
    redis.disconnect();
    await ended;
    expect(redis.status, name).toBe('end');
  }
  expect(await queued).toContain('Connection is closed');
});

test('the last connection that is closed leaves no connection to a sentinel', async () => {
  const set = await startSentinel();
  try {
    const job = connectRedis({ url: set.url }, 'job', ignore);
    const duplicate = job.duplicate();
    duplicate.on('error', ignore);
    await waitFor('both', () => [job, duplicate].every(({ status }) => status === 'ready'));
    const subscriptions = async () => {
      const lists = await Promise.all(
        set.sentinels.map((sentinel) => set.command(sentinel, 'CLIENT', 'LIST')),
      );
      return lists.filter((list) => String(list).includes(' sub=1 ')).length;
    };
    await waitFor('the subscriptions', async () => (await subscriptions()) === 3);
    for (const { pid } of set.nodes) process.kill(pid, 'SIGKILL');
    for (const redis of [job, duplicate]) {
      await waitFor('the wait', () => redis.status === 'reconnecting');
      redis.disconnect();
    }
    await waitFor('the end of the subscriptions', async () => (await subscriptions()) === 0);
  } finally {
    await set.stop();
  }
});

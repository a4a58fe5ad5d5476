import { startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';

// A frozen server stands for a machine that is gone: its kernel keeps the connections open.
test('every connection notices within 10 s that its peer no longer answers', async () => {
  const server = await startRedis();
  const ignore = () => undefined;
  const job = connectRedis(server.url, 'job', ignore);
  const blocked = job.duplicate();
  blocked.on('error', ignore);
  const subscribed = connectRedis(server.url, 'job', ignore);
  const watch = connectRedis(server.url, 'watch', ignore);
  const request = connectRedis(server.url, 'request', ignore);
  const connections = { job, blocked, subscribed, watch, request };
  onTestFinished(async () => {
    for (const redis of Object.values(connections)) redis.disconnect();
    process.kill(server.pid, 'SIGCONT');
    await server.stop();
  });
  await waitFor('all connections', () =>
    Object.values(connections).every(({ status }) => status === 'ready'),
  );
  await subscribed.subscribe('news');
  const closed = Object.entries(connections).map(
    ([name, redis]) =>
      new Promise<[string, number]>((resolve) =>
        redis.once('close', () => resolve([name, performance.now()])),
      ),
  );
  blocked.blpop('list', 60).catch(ignore);
  watch.blpop('list', 5).catch(ignore);
  await waitFor('both reads', async () =>
    (await job.info('clients')).includes('blocked_clients:2'),
  );
  process.kill(server.pid, 'SIGSTOP');
  const frozenAt = performance.now();
  for (const [name, at] of await Promise.all(closed)) {
    expect(at - frozenAt, name).toBeLessThan(10_000);
  }
  process.kill(server.pid, 'SIGCONT');
  // The kernel of the frozen server has accepted connections that nobody served.
  await waitFor('all connections again', () =>
    Object.values(connections).every(({ status }) => status === 'ready'),
  );
  expect(await job.ping()).toBe('PONG');
});

test('a peer that answers keeps its connections, also during a long blocking read', async () => {
  const server = await startRedis();
  const job = connectRedis(server.url, 'job', () => undefined);
  const blocked = job.duplicate();
  const watch = connectRedis(server.url, 'watch', () => undefined);
  onTestFinished(async () => {
    for (const redis of [job, blocked, watch]) redis.disconnect();
    await server.stop();
  });
  await waitFor('both', () => [job, blocked, watch].every(({ status }) => status === 'ready'));
  const closes: string[] = [];
  blocked.on('close', () => closes.push('blocked'));
  watch.on('close', () => closes.push('watch'));
  await Promise.all([
    blocked.blpop('list', 10),
    watch.blpop('list', 5).then(() => watch.blpop('list', 5)),
  ]);
  expect(closes).toEqual([]);
});

import { createLogger } from '@ephemera/process';
import { connectRedis, keysOf, redisKeptLogs } from '@ephemera/store';
import { startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { begunInstance, openDocker } from '../../test/docker-fixture.ts';
import { dockerContainers } from './docker-containers.ts';
import { keepLog } from './keep-log.ts';

test('what is to go goes, also while there is no Redis to keep its log', async () => {
  const { place, start, namespace, close } = await openDocker();
  onTestFinished(close);
  const server = await startRedis();
  const redis = connectRedis(server.url, 'job', () => undefined);
  onTestFinished(() => redis.disconnect());
  const kept = redisKeptLogs(redis, keysOf(namespace), 60_000);
  const keep = keepLog(kept, createLogger('test', 'silent'));
  const containers = dockerContainers({ ...place, keepLog: keep });
  const says = ['/bin/sh', '-c', 'echo here; exec sleep 600'];
  const [first, second] = [begunInstance({ command: says }), begunInstance({ command: says })];
  for (const each of [first, second]) {
    const { containerId } = await start(each);
    await waitFor('a line', async () => (await containers.lastLines(containerId, 1)) === 'here');
  }
  await containers.removeInstance(first.id, 0);
  expect(await kept.read(first.id)).toMatchObject([{ text: 'here\n' }]);
  await server.stop();
  await containers.removeInstance(second.id, 0);
  expect(await containers.list()).toEqual([]);
});

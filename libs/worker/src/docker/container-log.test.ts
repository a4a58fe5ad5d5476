import { createLogger } from '@ephemera/process';
import { connectRedis, keysOf, redisLogArchive } from '@ephemera/store';
import { startRedis, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import { archiveLog } from './container-log.ts';
import { dockerContainers } from './docker-containers.ts';

test('a container is removed even if Redis is unavailable for its log', async () => {
  const { place, start, namespace, close } = await openDocker();
  onTestFinished(close);
  const server = await startRedis();
  const redis = connectRedis(server.url, 'job', () => undefined);
  onTestFinished(() => redis.disconnect());
  const kept = redisLogArchive(redis, keysOf(namespace), 60_000);
  const keep = archiveLog(kept, createLogger('test', 'silent'));
  const containers = dockerContainers({ ...place, archiveLog: keep });
  const says = ['/bin/sh', '-c', 'echo here; exec sleep 600'];
  const [first, second] = [
    assignedInstance({ command: says }),
    assignedInstance({ command: says }),
  ];
  for (const instance of [first, second]) {
    const { containerId } = await start(instance);
    await waitFor('a line', async () => (await containers.lastLines(containerId, 1)) === 'here');
  }
  await containers.removeInstance(first.id, 0);
  expect(await kept.read(first.id)).toMatchObject([{ text: 'here\n' }]);
  await server.stop();
  await containers.removeInstance(second.id, 0);
  expect(await containers.list()).toEqual([]);
});

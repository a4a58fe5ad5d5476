import { expect, onTestFinished, test } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import { clearNetwork } from './clear-network.ts';
import { inspectNetwork, removeNetwork } from './instances-network.ts';
import { removeContainers } from './namespace-containers.ts';

async function open() {
  const fixture = await openDocker();
  onTestFinished(fixture.close);
  return fixture;
}

// A dead worker had requested a container, which was created after all others were removed.
test('a network is removed together with containers that were created late', async () => {
  const { docker, namespace, start, containers } = await open();
  await start(assignedInstance());
  expect(await removeNetwork(docker, namespace)).toBe(false);
  expect(await clearNetwork(docker, namespace, namespace)).toBe('removed');
  expect(await inspectNetwork(docker, namespace)).toBeUndefined();
  expect(await containers.list()).toEqual([]);
});

test('a network is removed after removals in progress have finished', async () => {
  const { docker, namespace, start } = await open();
  await Promise.all(Array.from({ length: 4 }, () => start(assignedInstance())));
  const removing = removeContainers(docker, namespace, new Set());
  expect(await clearNetwork(docker, namespace, namespace)).toBe('removed');
  await removing;
});

test('a network with a foreign container stays, and so does the container', async () => {
  const { docker, namespace, network } = await open();
  const stranger = await docker.createContainer({
    Image: 'ephemera/demo',
    Cmd: ['sleep', '60'],
    HostConfig: { NetworkMode: network.name },
  });
  onTestFinished(() => stranger.remove({ force: true }));
  await stranger.start();
  expect(await clearNetwork(docker, namespace, namespace)).toBe('held');
  expect((await stranger.inspect()).State.Running).toBe(true);
});

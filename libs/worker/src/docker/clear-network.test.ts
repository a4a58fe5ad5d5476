import { expect, onTestFinished, test } from 'vitest';
import { begunInstance, openDocker } from '../../test/docker-fixture.ts';
import { clearNetwork } from './clear-network.ts';
import { inspectNetwork, removeNetwork } from './instances-network.ts';
import { removeContainers } from './remove-containers.ts';

async function open() {
  const fixture = await openDocker();
  onTestFinished(fixture.close);
  return fixture;
}

// A worker that died had asked for one more, which came to be after all others were removed.
test('a network goes with the containers that came onto it too late', async () => {
  const { docker, namespace, start, containers } = await open();
  await start(begunInstance());
  expect(await removeNetwork(docker, namespace)).toBe(false);
  expect(await clearNetwork(docker, namespace, namespace)).toBe('removed');
  expect(await inspectNetwork(docker, namespace)).toBeUndefined();
  expect(await containers.list()).toEqual([]);
});

test('a network goes once those whose removal is under way have left it', async () => {
  const { docker, namespace, start } = await open();
  await Promise.all(Array.from({ length: 4 }, () => start(begunInstance())));
  const removing = removeContainers(docker, namespace, new Set());
  expect(await clearNetwork(docker, namespace, namespace)).toBe('removed');
  await removing;
});

test('a network that somebody else is on stays, and so does he', async () => {
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

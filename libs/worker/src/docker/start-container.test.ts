import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import { execInside } from '../../test/exec-inside.ts';
import { runInHostNetwork } from './run-on-host.ts';

// An image may come from an untrusted author. Its declared options must have no effect.

let fixture: DockerFixture;
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(() => fixture.close());

/** Builds an image from the demo image with further Dockerfile instructions. */
async function imageWith(name: string, instructions: readonly string[]): Promise<string> {
  const { docker, namespace } = fixture;
  const image = `ephemera/${namespace}-${name}`;
  const maker = await docker.createContainer({ Image: 'ephemera/demo' });
  await maker.commit({ repo: image, changes: instructions.join('\n') });
  await maker.remove({ v: true });
  onTestFinished(async () => {
    await docker.getImage(image).remove({ force: true });
  });
  return image;
}

// Docker would create a writable, unlimited volume on the host's disk for each declared volume.
test('a tmpfs with a size limit replaces every volume that the image declares', async () => {
  const { docker, start } = fixture;
  const image = await imageWith('volumes', ['VOLUME /data']);
  const { containerId } = await start(assignedInstance({ image }));
  const seen = await docker.getContainer(containerId).inspect();
  expect(seen.HostConfig.Tmpfs?.['/data']).toBe('rw,noexec,nosuid,nodev,size=67108864,mode=1777');
  const { text } = await execInside(docker, containerId, 'grep " /data " /proc/mounts');
  expect(text).toMatch(/^tmpfs \/data tmpfs/);
});

// The daemon would run the health check periodically for each instance, outside its limits.
test('a health check of the image is not run', async () => {
  const { docker, start } = fixture;
  const check = ['HEALTHCHECK --interval=1s --timeout=5s CMD true'];
  const image = await imageWith('healthcheck', check);
  const seen = await docker.getImage(image).inspect();
  expect(seen.Config).toMatchObject({ Healthcheck: { Test: ['CMD-SHELL', 'true'] } });
  const { containerId } = await start(assignedInstance({ image }));
  const { Config, State } = await docker.getContainer(containerId).inspect();
  expect(Config).toMatchObject({ Healthcheck: { Test: ['NONE'] } });
  expect(State.Health).toBeUndefined();
});

test('labels of the image do not change the identity of an instance', async () => {
  const { docker, containers, start, namespace } = fixture;
  const labels = ['LABEL ephemera.pool=p', 'LABEL ephemera.role=firewall'];
  const image = await imageWith('labels', labels);
  const instance = assignedInstance({ image });
  const { containerId } = await start(instance);
  const seen = (await containers.list()).find(
    (seenContainer) => seenContainer.containerId === containerId,
  );
  expect(seen).toMatchObject({ id: instance.id, running: true, pooled: undefined });
  await runInHostNetwork(docker, namespace, 'ephemera/demo', 0)('true');
  expect(await containers.inspect(containerId)).toMatchObject({ running: true });
});

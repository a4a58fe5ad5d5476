import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { begunInstance, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import { execInside } from '../../test/exec-inside.ts';
import { runInHostNetwork } from './run-on-host.ts';

// What an image asks for by itself, whose author is nobody's: none of it is to be had.

let fixture: DockerFixture;
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(() => fixture.close());

/** An image of the test's own, made of the demo's by instructions of a Dockerfile. */
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

// Docker makes a volume on the host's disk for each, writable and unbounded.
test('a bounded tmpfs is in the place of every volume that the image declares', async () => {
  const { docker, start } = fixture;
  const image = await imageWith('volumes', ['VOLUME /data']);
  const { containerId } = await start(begunInstance({ image }));
  const seen = await docker.getContainer(containerId).inspect();
  expect(seen.HostConfig.Tmpfs?.['/data']).toBe('rw,noexec,nosuid,nodev,size=67108864,mode=1777');
  const { text } = await execInside(docker, containerId, 'grep " /data " /proc/mounts');
  expect(text).toMatch(/^tmpfs \/data tmpfs/);
});

// The daemon would run it for each instance, again and again, at the expense of the host.
test('a health check of the image is not run', async () => {
  const { docker, start } = fixture;
  const check = ['HEALTHCHECK --interval=1s --timeout=5s CMD true'];
  const image = await imageWith('healthcheck', check);
  const seen = await docker.getImage(image).inspect();
  expect(seen.Config).toMatchObject({ Healthcheck: { Test: ['CMD-SHELL', 'true'] } });
  const { containerId } = await start(begunInstance({ image }));
  const { Config, State } = await docker.getContainer(containerId).inspect();
  expect(Config).toMatchObject({ Healthcheck: { Test: ['NONE'] } });
  expect(State.Health).toBeUndefined();
});

test('labels of the image make nothing else of an instance than it is', async () => {
  const { docker, containers, start, namespace } = fixture;
  const labels = ['LABEL ephemera.pool=p', 'LABEL ephemera.role=firewall'];
  const image = await imageWith('labels', labels);
  const instance = begunInstance({ image });
  const { containerId } = await start(instance);
  const seen = (await containers.list()).find((each) => each.containerId === containerId);
  expect(seen).toMatchObject({ id: instance.id, running: true, pooled: undefined });
  await runInHostNetwork(docker, namespace, 'ephemera/demo', 0)('true');
  expect(await containers.inspect(containerId)).toMatchObject({ running: true });
});

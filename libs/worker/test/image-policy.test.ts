import { STRICT_POLICY } from '@ephemera/domain';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { policyCheck, withStartChecks } from '../src/start-checks.ts';
import { assignedInstance, type DockerFixture, openDocker } from './docker-fixture.ts';

// Docker resolves more than names to images. The policy of a host must decide on the same image.

const DEMO = 'ephemera/demo';

let fixture: DockerFixture;
let imageId = '';
let ownName = '';

beforeAll(async () => {
  fixture = await openDocker();
  const { docker, namespace } = fixture;
  imageId = (await docker.getImage(DEMO).inspect()).Id;
  ownName = `${namespace}.example/acme/app`;
  await docker.getImage(DEMO).tag({ repo: ownName, tag: '1' });
}, 60_000);
afterAll(async () => {
  await fixture.docker.getImage(`${ownName}:1`).remove();
  await fixture.close();
});

async function start(image: string, images: readonly string[]) {
  const policy = { ...STRICT_POLICY, images };
  const guarded = withStartChecks(fixture.containers, [policyCheck(() => policy)]);
  let index = 0;
  const started = await guarded.start(
    assignedInstance({ image, command: ['/bin/sh', '-c', 'sleep 60'] }),
    () => Promise.resolve(++index),
    () => Promise.resolve(true),
  );
  const { containerId = '' } = started ?? {};
  const container = fixture.docker.getContainer(containerId);
  const { Image } = await container.inspect();
  await container.remove({ force: true });
  return Image;
}

test('no form of an id starts an image that no pattern names', async () => {
  const hex = imageId.slice('sha256:'.length);
  const ids = [hex, hex.slice(0, 12), hex.slice(0, 5), imageId, imageId.slice(0, 20)];
  const patterns = ['*', 'docker.io/library/*', 'docker.io/**', '**/*', `${hex.slice(0, 2)}*`, hex];
  for (const id of ids) {
    // Docker itself takes the text for this image.
    expect((await fixture.docker.getImage(id).inspect()).Id, id).toBe(imageId);
    await expect(start(id, patterns), id).rejects.toThrow('matches no pattern of images.allow');
  }
  expect(await start(imageId, ['sha256:*'])).toBe(imageId);
  expect(await start(hex.slice(0, 12), ['**'])).toBe(imageId);
}, 120_000);

test('each spelling that Docker accepts for a name matches the pattern of the name', async () => {
  for (const [image, pattern] of [
    [DEMO, 'docker.io/ephemera/*'],
    [`${DEMO}:latest`, DEMO],
    [`docker.io/${DEMO}`, `${DEMO}:latest`],
    [`index.docker.io/${DEMO}:latest`, 'ephemera/*'],
    [`${ownName}:1`, `${ownName.toUpperCase().replace(/ACME\/APP$/, 'acme/app')}:1`],
  ] as const) {
    expect(await start(image, [pattern]), image).toBe(imageId);
  }
}, 120_000);

test('a name on Docker Hub that resembles a registry matches no pattern of the registry', async () => {
  // Docker looks for both on Docker Hub.
  for (const image of [`index.docker.io/${ownName}:1`, `docker.io/${ownName}:1`]) {
    await expect(start(image, [`${ownName}:*`]), image).rejects.toThrow('matches no pattern');
  }
}, 60_000);

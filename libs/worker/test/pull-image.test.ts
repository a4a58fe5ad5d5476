import { createServer, type Socket } from 'node:net';
import type { StartStep } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import { freePort } from '@ephemera/test-support';
import Docker from 'dockerode';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { imagePulls, withTag } from '../src/docker/pull-image.ts';
import { publishImage, type Registry, startRegistry } from './registry.ts';

const docker = new Docker();
let registry: Registry;

beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());

/** The name of an image that is in the registry and, at first, not on this host. */
async function published(name: string): Promise<string> {
  const image = `${registry.address}/${name}`;
  await publishImage(docker, image);
  onTestFinished(async () => {
    await docker
      .getImage(image)
      .remove({ force: true })
      .catch(() => undefined);
  });
  return image;
}

const isHere = (image: string) =>
  docker
    .getImage(image)
    .inspect()
    .then(
      () => true,
      () => false,
    );

function progressRecorder() {
  const steps: StartStep[] = [];
  return {
    steps,
    report: (step: StartStep) => {
      steps.push(step);
      return Promise.resolve(true);
    },
  };
}

test('a missing image is pulled once for all waiting starts', async () => {
  const image = await published('once:1');
  expect(await isHere(image)).toBe(false);
  const pulls = imagePulls(docker, 60_000);
  const [item, other] = [progressRecorder(), progressRecorder()];
  const from = registry.log().length;
  expect(
    await Promise.all([
      pulls.pull(image, 5_000, item.report),
      pulls.pull(image, 5_000, other.report),
      pulls.pull(image, 5_000, progressRecorder().report),
    ]),
  ).toEqual([true, true, true]);
  expect(await isHere(image)).toBe(true);
  const asked = registry.log().slice(from);
  expect(asked.match(/"(GET|HEAD) \/v2\/once\/manifests\/1 /g)).toHaveLength(1);
  for (const { steps } of [item, other]) {
    expect(steps[0]).toMatchObject({ step: 'pulling' });
    expect(steps[0]?.message).toContain(image);
    expect(steps.at(-1)).toMatchObject({ step: 'creating' });
  }
});

test('a superseded start leaves the pull to the others', async () => {
  const image = await published('left:1');
  const pulls = imagePulls(docker, 60_000);
  const left = pulls.pull(image, 5_000, () => Promise.resolve(false));
  const stayed = pulls.pull(image, 5_000, progressRecorder().report);
  expect(await left).toBe(false);
  expect(await stayed).toBe(true);
  expect(await isHere(image)).toBe(true);
});

test('an unreachable registry or an unknown image is an error with the reason', async () => {
  const pulls = imagePulls(docker, 60_000);
  const unreachable = `127.0.0.1:${await freePort()}/app`;
  await expect(pulls.pull(unreachable, 5_000, progressRecorder().report)).rejects.toThrow(
    ContainerStartError,
  );
  await expect(pulls.pull(unreachable, 5_000, progressRecorder().report)).rejects.toThrow(
    new RegExp(`^The image ${unreachable} is not on this host, and pulling it failed: .*refused`),
  );
  const unknown = `${registry.address}/no-such-image`;
  await expect(pulls.pull(unknown, 5_000, progressRecorder().report)).rejects.toThrow(
    /pulling it failed: .*not found|manifest unknown/,
  );
});

test('a pull from an unresponsive registry times out, and can be tried again', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => {
    sockets.push(socket.on('error', () => socket.destroy()));
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  const pulls = imagePulls(docker, 1_200);
  const { steps, report: reportProgress } = progressRecorder();
  const image = `127.0.0.1:${port}/app`;
  await expect(pulls.pull(image, 5_000, reportProgress)).rejects.toThrow(/took over 1200 ms/);
  // Progress is reported repeatedly, which extends the start deadline.
  expect(steps.length).toBeGreaterThan(1);
  await expect(pulls.pull(image, 5_000, reportProgress)).rejects.toThrow(/took over 1200 ms/);
});

test('an image without a tag gets the tag `latest`', () => {
  expect(withTag('ephemera/demo')).toBe('ephemera/demo:latest');
  expect(withTag('127.0.0.1:5000/demo')).toBe('127.0.0.1:5000/demo:latest');
  expect(withTag('127.0.0.1:5000/demo:2')).toBe('127.0.0.1:5000/demo:2');
  expect(withTag('demo@sha256:00')).toBe('demo@sha256:00');
});

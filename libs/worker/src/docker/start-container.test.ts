import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import { execInside } from '../../test/exec-inside.ts';
import { buildImage } from './build-image.ts';
import { imageReader, ownerOf } from './read-image.ts';
import { runInHostNetwork } from './run-on-host.ts';

// An image may come from an untrusted author. Its declared options must have no effect.

let fixture: DockerFixture;
const built: string[] = [];
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(async () => {
  await fixture.close();
  for (const tag of built) await fixture.docker.getImage(tag).remove({ force: true });
});

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

/** Builds an image from the demo image; the instructions run as root. */
async function builtImage(name: string, instructions: readonly string[]): Promise<string> {
  const { docker, namespace } = fixture;
  const tag = `ephemera/${namespace}-${name}`;
  const context = await mkdtemp(join(tmpdir(), 'ephemera-image-'));
  const lines = ['FROM ephemera/demo', 'USER 0:0', ...instructions];
  await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
  await buildImage(docker, { context, tag, args: {} }, () => undefined);
  await rm(context, { recursive: true });
  built.push(tag);
  return tag;
}

const SHELL = ['/bin/sh', '-c', 'sleep 60'];

describe('each tmpfs can be written by the user of the process', () => {
  let image: string;
  beforeAll(async () => {
    image = await builtImage('users', [
      'RUN adduser -D -u 4321 -s /bin/sh web && addgroup -g 77 staff7 || true',
      "RUN grep -q ^web: /etc/passwd || echo 'web:x:4321:4321::/:/bin/sh' >> /etc/passwd",
      "RUN grep -q ^root: /etc/passwd || echo 'root:x:0:0::/:/bin/sh' >> /etc/passwd",
      "RUN grep -q ^staff7: /etc/group || echo 'staff7:x:77:' >> /etc/group",
      'RUN mkdir -p /srv/old/deep /srv/private && chmod 755 /srv/old && chmod 700 /srv/private',
      'USER web',
      `CMD ${JSON.stringify(SHELL)}`,
    ]);
  });
  test.each([
    ['the default', '65534:65534'],
    ['a number', '1234'],
    ['a number that the image knows', '4321'],
    ['a name', 'web'],
    ['a name and a group', 'web:staff7'],
    ['the user of the image', undefined],
    ['root', '0'],
    ['root by name', 'root'],
  ])('%s', async (_, user) => {
    const { docker, start } = fixture;
    const paths = ['/tmp', '/srv/old', '/srv/private', '/srv/old/deep', '/new/folder'];
    const tmpfs = Object.fromEntries(paths.map((path) => [path, { size: 65_536, exec: false }]));
    const { containerId } = await start(assignedInstance({ image, user, tmpfs, command: SHELL }));
    for (const path of paths) {
      const line = `touch ${path}/a && mkdir ${path}/b && rm -r ${path}/a ${path}/b && echo written`;
      const { text } = await execInside(docker, containerId, line);
      expect(`${path}: ${text.trim()}`).toBe(`${path}: written`);
    }
  });
});

test('files on a tmpfs can be executed only where the template says so', async () => {
  const { docker, start } = fixture;
  const tmpfs = {
    '/a': { size: 65_536, exec: false },
    '/b': { size: 65_536, exec: true },
  };
  const { containerId } = await start(assignedInstance({ tmpfs, command: SHELL }));
  const script = (path: string) =>
    `printf '#!/bin/sh\\necho runs' > ${path}/x; chmod +x ${path}/x; ${path}/x`;
  expect((await execInside(docker, containerId, script('/a'))).text).toMatch(/Permission denied/);
  expect((await execInside(docker, containerId, script('/b'))).text.trim()).toBe('runs');
});

// Docker would create a writable, unlimited volume on the host's disk for each declared volume.
test('a tmpfs with a size limit replaces a volume of the image that is empty', async () => {
  const { docker, start } = fixture;
  const image = await builtImage('volumes', ['RUN mkdir -p /data', 'VOLUME /data /not/there']);
  const { containerId } = await start(assignedInstance({ image, command: SHELL }));
  const { Mounts } = await docker.getContainer(containerId).inspect();
  expect(Mounts).toEqual([]);
  for (const path of ['/data', '/not/there']) {
    const line = `grep " ${path} " /proc/mounts && touch ${path}/a && echo written`;
    const { text } = await execInside(docker, containerId, line);
    expect(text).toMatch(new RegExp(`^tmpfs ${path} tmpfs .*size=65536k`));
    expect(text.trim()).toMatch(/written$/);
  }
});

test('a volume with content keeps it, and is removed with the container', async () => {
  const { docker, start, containers } = fixture;
  const image = await builtImage('content', [
    'RUN mkdir -p /data/inner && echo kept > /data/inner/file && chown -R 65534:65534 /data',
    'VOLUME /data',
  ]);
  const instance = assignedInstance({ image, command: SHELL });
  const { containerId } = await start(instance);
  const [mount] = (await docker.getContainer(containerId).inspect()).Mounts;
  expect(mount).toMatchObject({ Type: 'volume', Destination: '/data' });
  const line = 'cat /data/inner/file && touch /data/b && echo written';
  expect((await execInside(docker, containerId, line)).text).toMatch(/kept\s+written/);
  await containers.removeInstance(instance.id, 0);
  const volume = docker.getVolume(mount?.Name ?? '').inspect();
  await expect(volume).rejects.toMatchObject({ statusCode: 404 });
});

test('reading an image leaves no container', async () => {
  const { docker, namespace } = fixture;
  const image = await builtImage('reader', ['VOLUME /data', 'LABEL ephemera.instance=forged']);
  const facts = await imageReader(docker, namespace).read(image, 'nobody-here');
  expect(facts).toMatchObject({ owner: undefined, volumes: { '/data': { hasContent: false } } });
  const label = [`ephemera.namespace=${namespace}`, 'ephemera.role=image-reader'];
  expect(await docker.listContainers({ all: true, filters: { label } })).toEqual([]);
});

test.each([
  ['7', { uid: 7, gid: 0 }],
  ['4321', { uid: 4321, gid: 50 }],
  ['web', { uid: 4321, gid: 50 }],
  ['web:staff', { uid: 4321, gid: 77 }],
  ['web:8', { uid: 4321, gid: 8 }],
  ['9:staff', { uid: 9, gid: 77 }],
  ['nobody', undefined],
  ['web:none', undefined],
])('the user %s has the ids %j', (user, expected) => {
  const passwd = 'root:x:0:0::/root:/bin/sh\nweb:x:4321:50::/:/bin/sh\n';
  expect(ownerOf(user, passwd, 'root:x:0:\nstaff:x:77:web\n')).toEqual(expected);
});

describe('options of a process', () => {
  test('an entrypoint replaces that of the image, and an empty one removes it', async () => {
    const { docker, start } = fixture;
    const image = await builtImage('entry', [
      'ENTRYPOINT ["/bin/false"]',
      `CMD ${JSON.stringify(SHELL)}`,
    ]);
    const argsOf = async (template: Parameters<typeof assignedInstance>[0]) => {
      const { containerId } = await start(assignedInstance({ image, ...template }));
      const { Path, Args } = await docker.getContainer(containerId).inspect();
      return [Path, ...Args];
    };
    expect(await argsOf({ entrypoint: ['/bin/sleep', '{port}'] })).toEqual(['/bin/sleep', '8080']);
    expect(await argsOf({ entrypoint: [] })).toEqual(SHELL);
    const both = { entrypoint: ['/bin/sh'], command: ['-c', 'sleep 60'] };
    expect(await argsOf(both)).toEqual(SHELL);
  });

  test.each([
    [true, 'init'],
    [false, 'sh'],
  ])('with init: %s, process 1 is %s', async (init, name) => {
    const { docker, start } = fixture;
    const { containerId } = await start(
      assignedInstance({ init, command: ['/bin/sh', '-c', 'sleep 60; true'] }),
    );
    const { text } = await execInside(docker, containerId, 'cat /proc/1/comm');
    expect(text.trim()).toContain(name);
  });

  test('shared memory, working directory and host name', async () => {
    const { docker, start } = fixture;
    const template = {
      shmSize: 1_048_576,
      workingDir: '/etc',
      hostname: 'box.example',
      command: SHELL,
    };
    const { containerId } = await start(assignedInstance(template));
    const line = 'df -k /dev/shm | tail -1; ls -l /proc/1/cwd; hostname';
    const { text } = await execInside(docker, containerId, line);
    expect(text).toMatch(/shm\s+1024\s/);
    expect(text).toMatch(/\/etc\s+box\.example/);
  });

  test('the profile docker gives the rights of an ordinary container, without NET_RAW', async () => {
    const { docker, start } = fixture;
    const image = await builtImage('profile', [
      'RUN mkdir -p /srv/www',
      `CMD ${JSON.stringify(SHELL)}`,
    ]);
    const template = { image, profile: 'docker', user: undefined, readOnly: false } as const;
    const { containerId } = await start(assignedInstance(template));
    const { text } = await execInside(
      docker,
      containerId,
      'id -u; chown 1000 /srv/www && echo written; grep -E "CapEff|NoNew" /proc/1/status',
    );
    expect(text).toMatch(/^0\s+written/);
    expect(text).toMatch(/NoNewPrivs:\s+1/);
    const mask = BigInt(`0x${/CapEff:\s+([0-9a-f]+)/.exec(text)?.[1] ?? ''}`);
    const [CHOWN, NET_ADMIN, NET_RAW, SYS_ADMIN] = [0n, 12n, 13n, 21n];
    const has = (bit: bigint) => ((mask >> bit) & 1n) === 1n;
    expect([CHOWN, NET_ADMIN, NET_RAW, SYS_ADMIN].map(has)).toEqual([true, false, false, false]);
  });
});

test('a long environment does not stand in the address of the create call', async () => {
  const { start } = fixture;
  const paths: string[] = [];
  const spy = vi.spyOn(http, 'request');
  onTestFinished(() => spy.mockRestore());
  await start(assignedInstance({ env: { LONG: 'x'.repeat(100_000) } }));
  for (const [options] of spy.mock.calls) paths.push((options as unknown as { path: string }).path);
  const creates = paths.filter((path) => path.includes('/containers/create'));
  expect(creates).toHaveLength(1);
  expect(creates[0]).toMatch(/^\/containers\/create\?name=[a-z0-9-]+$/);
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

// Compose labels the images that it builds, also those of other deployments on this machine.
test('an instance of an image that Compose has built belongs to no project of Compose', async () => {
  const { docker, start, namespace } = fixture;
  const image = await imageWith('composed', [
    `LABEL com.docker.compose.project=${namespace} com.docker.compose.service=web`,
  ]);
  const { containerId } = await start(assignedInstance({ image }));
  const label = [`com.docker.compose.project=${namespace}`];
  expect(await docker.listContainers({ all: true, filters: { label } })).toEqual([]);
  const labels = { 'com.docker.compose.project': 'own' };
  const { containerId: chosen } = await start(assignedInstance({ image, labels }));
  const { Config } = await docker.getContainer(chosen).inspect();
  expect(Config.Labels).toMatchObject(labels);
  expect((await docker.getContainer(containerId).inspect()).State.Running).toBe(true);
});

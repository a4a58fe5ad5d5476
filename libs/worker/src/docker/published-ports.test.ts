import { createServer } from 'node:net';
import { sampleTemplate } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assignedInstance, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import type { HostReach } from '../host-reach.ts';
import { dockerContainers } from './docker-containers.ts';
import { choosePorts } from './published-ports.ts';

const ADDRESS = '127.0.0.1';
const PORTS = { first: 17_000, last: 17_099 };
const reach: HostReach = { kind: 'published', address: ADDRESS, ports: PORTS, proxies: [] };

const sequence = (from: number) => () => Promise.resolve(from++);

test('no port repeats before the whole range was used, however many a template has', async () => {
  const next = sequence(1_007);
  const seen: number[] = [];
  for (let started = 0; started < 50; started++) {
    const template = sampleTemplate({ port: 8080, ports: { main: 8080, api: 9090 } });
    const chosen = await choosePorts(reach, template, await next(), next);
    expect(chosen?.address).toBe(ADDRESS);
    expect(Object.keys(chosen?.ports ?? {})).toEqual(['8080', '9090']);
    seen.push(...Object.values(chosen?.ports ?? {}));
  }
  expect(new Set(seen).size).toBe(100);
  expect([Math.min(...seen), Math.max(...seen)]).toEqual([PORTS.first, PORTS.last]);
});

test('no other reach publishes a port', async () => {
  const template = sampleTemplate();
  expect(await choosePorts(undefined, template, 1, sequence(2))).toBeUndefined();
  expect(await choosePorts({ kind: 'bridge' }, template, 1, sequence(2))).toBeUndefined();
  const routed = { kind: 'routed', proxies: [] } as const;
  expect(await choosePorts(routed, template, 1, sequence(2))).toBeUndefined();
});

let fixture: DockerFixture;
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(() => fixture.close());

test('a container has the ports; one that is in use is skipped; a restored instance has them too', async () => {
  const containers = dockerContainers({ ...fixture.place, reach });
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(PORTS.first + 10, ADDRESS, resolve));
  try {
    const instance = assignedInstance({ ports: { main: 8080, api: 9090 } });
    const started = await containers.start(instance, sequence(1_010), () => Promise.resolve(true));
    if (!started) throw new Error('it was ended meanwhile');
    // The first attempt has taken the indexes of two ports.
    const published = { address: ADDRESS, ports: { '8080': 17_012, '9090': 17_013 } };
    expect(started.published).toEqual(published);
    expect(await containers.recoverInstance(started.containerId)).toMatchObject({
      address: started.address,
      published,
    });
    const again = await containers.start(instance, sequence(1_050), () => Promise.resolve(true));
    expect(again).toEqual(started);
  } finally {
    taken.close();
  }
});

test('without the reach, a container has no published port', async () => {
  const { containerId, published } = await fixture.start(assignedInstance());
  expect(published).toBeUndefined();
  const seen = await fixture.docker.getContainer(containerId).inspect();
  expect(seen.HostConfig.PortBindings ?? {}).toEqual({});
});

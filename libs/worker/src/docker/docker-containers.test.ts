import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Instance, Template } from '@ephemera/domain';
import { containerName, ContainerStartError } from '@ephemera/lifecycle';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { HOST, assignedInstance, numbered, openDocker } from '../../test/docker-fixture.ts';
import type { DockerFixture } from '../../test/docker-fixture.ts';
import { execInside } from '../../test/exec-inside.ts';
import { limitConcurrency } from '../concurrency-limit.ts';
import { LABEL } from './labels.ts';
import { dockerContainers } from './docker-containers.ts';

let fixture: DockerFixture;
beforeAll(async () => {
  fixture = await openDocker();
});
afterAll(() => fixture.close());

const SHELL = ['/bin/sh', '-c'];

describe('start', () => {
  test.each<[string, Partial<Template>, Partial<Instance>, { dns?: string; user?: string }]>([
    ['a plain one', {}, {}, {}],
    ['one of a pool', {}, { pool: 'p' }, {}],
    ['one with egress', { egress: true }, {}, { dns: '203.0.113.53' }],
    ['one with a writable root', { readOnly: false }, {}, {}],
    ['one that runs as its image says', { user: undefined }, {}, { user: '65534:65534' }],
  ])('gives %s the limits that no template lifts', async (_, template, more, { dns, user }) => {
    const { docker, start, namespace } = fixture;
    const instance = { ...assignedInstance(template), ...more };
    const { containerId } = await start(instance);
    const seen = await docker.getContainer(containerId).inspect();
    expect(seen.Name).toBe(`/${containerName(namespace, instance)}`);
    expect(seen.HostConfig).toMatchObject({
      Privileged: false,
      Memory: 64 * 1024 ** 2,
      MemorySwap: 64 * 1024 ** 2,
      CpuPeriod: 10_000,
      CpuQuota: 5_000,
      CpuShares: 64,
      PidsLimit: 64,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      ReadonlyRootfs: template.readOnly ?? true,
      Init: true,
      IpcMode: 'private',
      Dns: [dns ?? '192.0.2.1'],
      DnsSearch: ['.'],
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
      Tmpfs: {
        // A number without a group and without an entry in the image has group 0, as in Docker.
        '/tmp': `rw,noexec,nosuid,nodev,size=8388608,mode=1777,uid=65534,gid=${user === undefined ? 0 : 65534}`,
      },
    });
    expect(seen.HostConfig.Ulimits).toEqual([
      { Name: 'nofile', Soft: 16_384, Hard: 16_384 },
      { Name: 'core', Soft: 0, Hard: 0 },
    ]);
    for (const list of ['CapAdd', 'Binds', 'Devices', 'VolumesFrom', 'DeviceRequests'] as const) {
      expect(seen.HostConfig[list] ?? []).toEqual([]);
    }
    expect(seen.HostConfig).toMatchObject({ PublishAllPorts: false, PidMode: '', UsernsMode: '' });
    expect(seen.HostConfig.PortBindings ?? {}).toEqual({});
    expect(seen.Mounts).toEqual([]);
    expect(Object.keys(seen.NetworkSettings.Networks)).toEqual([fixture.network.name]);
    expect(seen.Config.User).toBe(user ?? '65534');
    const { text } = await execInside(docker, containerId, 'grep -E "NoNew|CapEff" /proc/1/status');
    expect(text).toMatch(/CapEff:\s+0000000000000000\s+NoNewPrivs:\s+1/);
  });

  test('reports all options of a template that the daemon does not support', async () => {
    const { start } = fixture;
    const specs = { runtime: 'no-such', seccomp: '/no/such.json', userns: 'remapped' } as const;
    const started = start(assignedInstance({ ...specs, apparmor: 'none-such' }));
    await expect(started).rejects.toThrow(ContainerStartError);
    await expect(started).rejects.toThrow(
      /the daemon has no runtime "no-such"; available runtimes: .*runc/,
    );
    await expect(started).rejects.toThrow(/\/no\/such.json is not a readable seccomp profile/);
    await expect(started).rejects.toThrow(/the daemon does not map users/);
  });

  test('passes the seccomp profile of the template to the daemon', async () => {
    const { start, docker } = fixture;
    const folder = await mkdtemp(join(tmpdir(), 'ephemera-seccomp-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const seccomp = join(folder, 'no-mkdir.json');
    const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' };
    const profile = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] };
    await writeFile(seccomp, JSON.stringify(profile));
    const command = [...SHELL, 'sleep 60'];
    const { containerId } = await start(assignedInstance({ seccomp, command }));
    const { text } = await execInside(docker, containerId, 'mkdir /tmp/a; touch /tmp/b && echo ok');
    expect(text).toMatch(/Operation not permitted\s+ok/);
  });

  test('sets the id in the environment, and a creation cannot override it', async () => {
    const { start, docker } = fixture;
    const env = { GREETING: 'from {id}', EPHEMERA_ID: 'somebody else' };
    const instance = assignedInstance({ env: { BASE: '{basePath}', KEPT: '{nothing}' } }, env);
    const { containerId } = await start(instance);
    const { Env } = (await docker.getContainer(containerId).inspect()).Config;
    expect(Env).toEqual(
      expect.arrayContaining([
        `EPHEMERA_ID=${instance.id}`,
        'EPHEMERA_PORT=8080',
        `EPHEMERA_BASE_PATH=/demo/${instance.id}`,
        `EPHEMERA_URL=${instance.url}`,
        'GREETING=from {id}',
        `BASE=/demo/${instance.id}`,
        'KEPT={nothing}',
      ]),
    );
  });

  test('a start that waits for an image does not delay others', async () => {
    const { place } = fixture;
    let pulling = false;
    let release = (): void => undefined;
    const pulled = new Promise<boolean>((resolve) => (release = () => resolve(false)));
    const pull = () => {
      pulling = true;
      return pulled;
    };
    const containers = dockerContainers({
      ...place,
      startLimit: limitConcurrency(1),
      pulls: { ...place.pulls, pull },
    });
    const missing = assignedInstance({ image: 'ephemera/nowhere' });
    const [next, reportProgress] = [() => Promise.resolve(3_000), () => Promise.resolve(true)];
    const waits = containers.start(missing, next, reportProgress);
    await waitFor('the pull', () => pulling);
    const started = await containers.start(assignedInstance(), next, reportProgress);
    expect(await containers.inspect(started?.containerId ?? '')).toMatchObject({ running: true });
    release();
    expect(await waits).toBeUndefined();
  });

  test('a repeated start returns the same container', async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance();
    const first = await start(instance);
    expect(await start(instance)).toEqual(first);
    expect((await containers.list()).filter(({ id }) => id === instance.id)).toHaveLength(1);
  });

  // A daemon that was restarted during a start leaves such a container.
  test('a start after an exit creates a new container, because a second start changes the tmpfs permissions', async () => {
    const { start, docker, containers } = fixture;
    const instance = assignedInstance();
    const { containerId } = await start(instance);
    await docker.getContainer(containerId).stop({ t: 0 });
    const again = await start(instance);
    expect(again.containerId).not.toBe(containerId);
    const answers = async () => (await fetch(`http://${again.address}:8080/id`)).text();
    expect(await waitFor('an answer', answers)).toBe(instance.id);
    await containers.removeInstance(instance.id, 0);
  });

  test('two concurrent starts give one container, at the latest after a retry', async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance();
    const both = await Promise.allSettled([start(instance), start(instance)]);
    const again = await start(instance);
    for (const promiseSettledResult of both) {
      if (promiseSettledResult.status === 'fulfilled')
        expect(promiseSettledResult.value).toEqual(again);
      else expect(promiseSettledResult.reason).not.toBeInstanceOf(ContainerStartError);
    }
    expect(both.map(({ status }) => status)).toContain('fulfilled');
    expect((await containers.list()).filter(({ id }) => id === instance.id)).toHaveLength(1);
  });

  // Docker assigns the lowest free address to the next container. A stale route or a pooled socket
  // would then reach a foreign instance.
  test('never reuses an address while the sequence has unused ones', async () => {
    const { containers, start, network } = fixture;
    const addresses: string[] = [];
    for (let i = 0; i < 3; i++) {
      const instance = assignedInstance();
      const { address } = await start(instance);
      await containers.removeInstance(instance.id, 0);
      addresses.push(address);
    }
    expect(new Set(addresses).size).toBe(3);
    const infrastructure = network.infrastructure.replace('0/24', '');
    for (const address of addresses) expect(address.startsWith(infrastructure)).toBe(false);
  });

  test('uses the next address if one is in use', async () => {
    const { start, network } = fixture;
    const taken = (await start(assignedInstance())).address;
    const index = numbered(taken) - network.range.first;
    const offered = [index, index, 5_000];
    const { address } = await start(assignedInstance(), () =>
      Promise.resolve(offered.shift() ?? 5_000),
    );
    expect(numbered(address)).toBe(network.range.first + 5_000);
    expect(offered).toEqual([]);
  });

  test('a missing image is a permanent error', async () => {
    const { start } = fixture;
    // No server listens there, so no registry is contacted.
    const image = '127.0.0.1:9/nowhere:1';
    // The pull is not repeated for longer than the start may take.
    const ready = { kind: 'auto', within: 1_000 } as const;
    const started = start(assignedInstance({ image, ready }));
    await expect(started).rejects.toThrow(ContainerStartError);
    await expect(started).rejects.toThrow(`The image ${image} is not on this host`);
  });

  test('a container with a missing command exits immediately, and its last log line has the reason', async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance({ command: ['/no/such/program'] });
    const { containerId } = await start(instance);
    await waitFor('the exit', async () => !(await containers.inspect(containerId))?.running);
    expect(await containers.inspect(containerId)).toMatchObject({ exitCode: 127 });
    expect(await containers.lastLines(containerId, 1)).toMatch(/no\/such\/program.*No such file/);
  });

  test('an option that the daemon refuses is a permanent error with the daemon’s message', async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance({ user: 'nobody-of-that-name' });
    const started = start(instance);
    await expect(started).rejects.toThrow(ContainerStartError);
    await expect(started).rejects.toThrow(/could not be started: .*nobody-of-that-name/s);
    await containers.removeInstance(instance.id, 0);
    expect((await containers.list()).filter(({ id }) => id === instance.id)).toEqual([]);
  });
});

describe('a container that exited', () => {
  test('has an exit code and last log lines', async () => {
    const { containers, start } = fixture;
    const command = [...SHELL, 'for i in 1 2 3; do echo line $i; done; echo boom >&2; exit 3'];
    const { containerId } = await start(assignedInstance({ command }));
    await waitFor('the exit', async () => !(await containers.inspect(containerId))?.running);
    expect(await containers.inspect(containerId)).toEqual({
      running: false,
      exitCode: 3,
      oomKilled: false,
    });
    expect((await containers.lastLines(containerId, 2)).split('\n')).toHaveLength(2);
    expect(await containers.lastLines(containerId, 10)).toMatch(/line 1\n.*line 3/s);
    expect(await containers.lastLines(containerId, 10)).toContain('boom');
    const seen = (await containers.list()).find(
      (container) => container.containerId === containerId,
    );
    expect(seen).toMatchObject({ running: false, exitCode: 3, oomKilled: false });
  });

  // The daemon learns of the OOM kill separately from the exit, sometimes too late.
  test('after running out of memory is listed as such', { retry: 4 }, async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance({
      limits: { memory: 8 * 1024 ** 2, cpus: 0.5, pids: 16 },
      command: [...SHELL, 'exec tail /dev/zero'],
    });
    const { containerId } = await start(instance);
    await waitFor('the exit', async () => !(await containers.inspect(containerId))?.running);
    const ended = { running: false, exitCode: 137, oomKilled: true };
    expect(await containers.inspect(containerId)).toMatchObject(ended);
    const seen = (await containers.list()).find(
      (container) => container.containerId === containerId,
    );
    expect(seen).toMatchObject(ended);
  });
});

describe('removal', () => {
  test('is idempotent, also concurrently; an unknown id succeeds', async () => {
    const { containers, start } = fixture;
    const { id, ...rest } = assignedInstance();
    const { containerId } = await start({ id, ...rest });
    await Promise.all([containers.removeInstance(id, 0), containers.removeInstance(id, 0)]);
    await containers.removeInstance(id, 0);
    await containers.removeInstance('nobody', 1_000);
    await containers.remove(containerId);
    await waitFor('it to be gone', async () => !(await containers.inspect(containerId)));
    expect(await containers.lastLines(containerId, 5)).toBe('');
    expect(await containers.recoverInstance(containerId)).toBeUndefined();
  });

  // The daemon answers 409 to the second removal while the first is in progress.
  test('returns only when the container is gone, also if another call removes it', async () => {
    const { containers, start } = fixture;
    const { containerId } = await start(assignedInstance());
    const removed = Array.from({ length: 5 }, async () => {
      await containers.remove(containerId);
      return containers.inspect(containerId);
    });
    expect(await Promise.all(removed)).toEqual(removed.map(() => undefined));
  });

  test('lets a container exit by itself within its grace', async () => {
    const { containers, start, docker } = fixture;
    const polite = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done";
    const instance = assignedInstance({ command: [...SHELL, polite] });
    const { containerId } = await start(instance);
    await waitFor('its trap', async () => (await containers.lastLines(containerId, 1)) === 'up');
    const follow = { stdout: true, stderr: true, follow: true as const };
    const log = await docker.getContainer(containerId).logs(follow);
    let text = '';
    log.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    await containers.removeInstance(instance.id, 5_000);
    await waitFor('its last word', () => text.includes('bye'));
  });

  test('kills a container that does not exit within the grace', async () => {
    const { containers, start } = fixture;
    const stubborn = assignedInstance({
      command: [...SHELL, "trap '' TERM; while :; do sleep 1; done"],
    });
    const { containerId } = await start(stubborn);
    const began = Date.now();
    await containers.removeInstance(stubborn.id, 1_000);
    expect(Date.now() - began).toBeLessThan(8_000);
    expect(await containers.inspect(containerId)).toBeUndefined();
  });

  test('of a paused container succeeds', async () => {
    const { containers, start, docker } = fixture;
    const instance = assignedInstance();
    const { containerId } = await start(instance);
    await docker.getContainer(containerId).pause();
    await containers.removeInstance(instance.id, 1_000);
    expect(await containers.inspect(containerId)).toBeUndefined();
  });
});

describe('a listed container', () => {
  test('has the namespace and host of this worker', async () => {
    const { containers, start, place } = fixture;
    const instance = assignedInstance();
    const { containerId } = await start(instance);
    const neighbours = [
      dockerContainers({ ...place, host: 'another-host' }),
      dockerContainers({ ...place, namespace: `${place.namespace}x` }),
    ];
    for (const other of neighbours) {
      expect(await other.list()).toEqual([]);
      expect(await other.running(instance.id)).toEqual([]);
      await other.removeInstance(instance.id, 0);
    }
    expect(await containers.running(instance.id)).toEqual([containerId]);
    expect(await containers.inspect(containerId)).toMatchObject({ running: true });
    const mine = (await containers.list()).find(
      (container) => container.containerId === containerId,
    );
    expect(mine).toMatchObject({
      id: instance.id,
      generation: instance.generation,
      running: true,
      oomKilled: false,
    });
  });

  // Deadlines use the store's clock, and the daemon may have another.
  test.each([3_600_000, -3_600_000])(
    'has corrected times if the store is %i ms behind the daemon',
    async (off) => {
      const { start, place } = fixture;
      const now = () => Promise.resolve(Date.now() - off);
      const containers = dockerContainers({ ...place, now });
      const before = await now();
      const { containerId } = await start(assignedInstance());
      const seen = (await containers.list()).find(
        (container) => container.containerId === containerId,
      );
      const recalled = await containers.recoverInstance(containerId);
      const after = await now();
      for (const time of [seen?.createdAt, recalled?.startedAt]) {
        // The daemon returns whole seconds.
        expect(time).toBeGreaterThan(before - 1_001);
        expect(time).toBeLessThanOrEqual(after + 1_000);
      }
    },
  );

  test('has its pool state, and is restored as claimed after a claim', async () => {
    const { containers, start } = fixture;
    const instance = { ...assignedInstance({ timeout: 50_000 }), timeout: 9_000, pool: 'p' };
    const { containerId } = await start(instance);
    const listed = async () =>
      (await containers.list()).find((container) => container.containerId === containerId);
    expect(await listed()).toMatchObject({ pooled: 'unclaimed' });
    await containers.labelClaimed(containerId, { id: instance.id, generation: 9 });
    await containers.labelClaimed(containerId, { id: instance.id, generation: 9 });
    expect(await listed()).toMatchObject({ pooled: 'claimed' });
    const recalled = await containers.recoverInstance(containerId);
    expect(recalled).toMatchObject({ state: 'ready', generation: 9, timeout: 50_000 });
    expect(recalled?.pool).toBeUndefined();
    expect(recalled?.expiresAt).toBe((recalled?.activeAt ?? 0) + 50_000);
  });

  test('is restored without another measurement of the daemon’s clock', async () => {
    const { place, start } = fixture;
    let asked = 0;
    const info = () => {
      asked++;
      return place.docker.info();
    };
    const docker = Object.assign(Object.create(place.docker) as typeof place.docker, { info });
    const containers = dockerContainers({ ...place, docker });
    const started = [await start(assignedInstance()), await start(assignedInstance())];
    await containers.list();
    for (const { containerId } of started) {
      expect(await containers.recoverInstance(containerId)).toMatchObject({ state: 'ready' });
    }
    expect(asked).toBe(1);
  });

  test('is restored as paused if it is paused', async () => {
    const { containers, start } = fixture;
    const instance = assignedInstance({ onTimeout: 'pause' });
    const { containerId } = await start(instance);
    await containers.pauseContainer(instance.id);
    const recalled = await containers.recoverInstance(containerId);
    expect(recalled).toMatchObject({ state: 'paused', expiresAt: instance.maxExpiresAt });
  });

  test('can be restored from its labels', async () => {
    const { containers, start, docker } = fixture;
    const instance = assignedInstance({ idleTimeout: 90_000 }, { SECRET: 'not for labels' });
    const { containerId, address } = await start(instance);
    const recalled = await containers.recoverInstance(containerId);
    const { id, generation, timeout, url, createdAt, maxExpiresAt } = instance;
    expect(recalled).toMatchObject({
      ...{ id, generation, timeout, url, createdAt, maxExpiresAt, address },
      host: HOST,
      state: 'ready',
    });
    expect({ ...instance.template, ...recalled?.template }).toEqual(instance.template);
    expect(recalled?.expiresAt).toBe((recalled?.startedAt ?? 0) + timeout);
    const { Labels } = (await docker.getContainer(containerId).inspect()).Config;
    expect(Labels[LABEL.host]).toBe(HOST);
    expect(JSON.stringify(Labels)).not.toContain('not for labels');
  });
});

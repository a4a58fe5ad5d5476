import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROFILE_CAPABILITIES, basePathOf } from '@ephemera/domain';
import type { Template } from '@ephemera/domain';
import { sampleTemplate } from '@ephemera/test-support';
import type Docker from 'dockerode';
import type { HostConfig } from 'dockerode';
import { expect, onTestFinished, test } from 'vitest';
import { assignedInstance } from '../../test/docker-fixture.ts';
import { containerProfile, isolationOptions } from './container-profile.ts';

const placement = {
  name: 'a',
  network: 'n',
  address: '10.0.0.9',
  labels: {},
  image: { owner: undefined, volumes: {} },
  resolvers: ['203.0.113.53'],
  isolation: {},
  cpuPeriod: 10,
};

const HOSTILE: HostConfig = {
  Privileged: true,
  CapDrop: [],
  IpcMode: 'host',
  OomScoreAdj: -1000,
  Ulimits: [],
};

test.each([
  ['nothing', {}, {}],
  ['every capability and image user', { profile: 'docker', capAdd: ['NET_RAW'] }, {}],
  ['what only the operator can pass', {}, HOSTILE],
] as const)('a template with %s cannot change what protects the host', (_, spec, isolation) => {
  const { HostConfig } = containerProfile(assignedInstance(spec), {
    ...placement,
    isolation,
  });
  expect(HostConfig).toMatchObject({
    Privileged: false,
    CapDrop: ['ALL'],
    IpcMode: 'private',
    RestartPolicy: { Name: 'no' },
    LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } },
  });
  // The kernel ends an instance before any process of the host (proc_pid_oom_score_adj(5)).
  expect(HostConfig?.OomScoreAdj).toBeGreaterThan(0);
  const limits = new Map(HostConfig?.Ulimits?.map(({ Name, Hard }) => [Name, Hard]));
  expect(limits.get('core')).toBe(0);
  expect(limits.get('nofile')).toBeLessThanOrEqual(16_384);
  // The daemon would run the health check of the image outside of the limits.
  expect(containerProfile(assignedInstance(spec), placement).Healthcheck?.Test).toEqual(['NONE']);
});

test('only an instance with egress gets a resolver that answers', () => {
  const resolversOf = (egress: boolean) =>
    containerProfile(assignedInstance({ egress }), placement).HostConfig?.Dns;
  expect(resolversOf(true)).toEqual(placement.resolvers);
  // TEST-NET-1 (RFC 5737), which no rule lets out. Without an address of its own, Docker's DNS server
  // would forward queries from the network namespace of the host.
  expect(resolversOf(false)).toEqual([expect.stringMatching(/^192\.0\.2\.\d+$/)]);
});

test('memory has no swap beside it, and processes are limited', () => {
  const limits = { memory: 64 * 1024 ** 2, cpus: 2, pids: 77 };
  const { HostConfig } = containerProfile(assignedInstance({ limits }), placement);
  expect(HostConfig).toMatchObject({
    Memory: limits.memory,
    MemorySwap: limits.memory,
    PidsLimit: 77,
    CpuShares: 256,
  });
});

// The kernel accepts quotas from 1 ms and periods up to 1 s.
test.each([
  [2, 10, 10_000, 20_000],
  [0.5, 10, 10_000, 5_000],
  [0.05, 10, 20_000, 1_000],
  [0.01, 10, 100_000, 1_000],
  [0.5, 1, 2_000, 1_000],
  [0.5, 100, 100_000, 50_000],
])(
  '%d CPUs with a period of %d ms: period %d µs, quota %d µs',
  (cpus, cpuPeriod, period, quota) => {
    const instance = assignedInstance({ limits: { memory: 1, cpus, pids: 1 } });
    const { HostConfig } = containerProfile(instance, {
      name: 'a',
      network: 'n',
      address: '10.0.0.9',
      labels: {},
      image: { owner: undefined, volumes: {} },
      resolvers: [],
      isolation: {},
      cpuPeriod,
    });
    expect(HostConfig).toMatchObject({ CpuPeriod: period, CpuQuota: quota });
  },
);

const NO_NEW_PRIVILEGES = 'no-new-privileges:true';

/** A daemon that has everything, which few machines that run tests do. */
const docker = {
  info: () =>
    Promise.resolve({
      Runtimes: { runc: {}, runsc: {} },
      SecurityOptions: ['name=apparmor', 'name=seccomp,profile=default', 'name=userns'],
    }),
} as unknown as Docker;

test.each([
  ['nothing', {}, { SecurityOpt: [NO_NEW_PRIVILEGES] }],
  ['a runtime', { runtime: 'runsc' }, { Runtime: 'runsc', SecurityOpt: [NO_NEW_PRIVILEGES] }],
  [
    "the host's users",
    { userns: 'host' },
    { UsernsMode: 'host', SecurityOpt: [NO_NEW_PRIVILEGES] },
  ],
  ['mapped users', { userns: 'remapped' }, { SecurityOpt: [NO_NEW_PRIVILEGES] }],
  [
    'an AppArmor profile',
    { apparmor: 'narrow' },
    { SecurityOpt: [NO_NEW_PRIVILEGES, 'apparmor=narrow'] },
  ],
  [
    'no seccomp',
    { seccomp: 'unconfined' },
    { SecurityOpt: [NO_NEW_PRIVILEGES, 'seccomp=unconfined'] },
  ],
] as const)('a template that asks for %s has it created so', async (_, spec, expected) => {
  const isolation = await isolationOptions(docker, sampleTemplate(spec));
  expect(isolation).toEqual(expected);
  const { HostConfig } = containerProfile(assignedInstance(spec), {
    name: 'a',
    network: 'n',
    address: '10.0.0.9',
    labels: {},
    image: { owner: undefined, volumes: {} },
    resolvers: [],
    isolation,
    cpuPeriod: 10,
  });
  expect(HostConfig).toMatchObject(expected);
});

const profileOf = (
  spec: Parameters<typeof assignedInstance>[0],
  image: Parameters<typeof containerProfile>[1]['image'] = placement.image,
) => containerProfile(assignedInstance(spec), { ...placement, image });

test('the process of the template replaces that of the image, field by field', () => {
  const image = profileOf({ user: undefined });
  for (const field of ['Entrypoint', 'Cmd', 'WorkingDir', 'Hostname', 'User']) {
    expect(image).not.toHaveProperty(field);
  }
  const instance = assignedInstance({
    entrypoint: ['/run', '{id}'],
    command: ['--base={basePath}'],
    workingDir: '/srv',
    hostname: 'box',
    user: '1000:1000',
  });
  expect(containerProfile(instance, placement)).toMatchObject({
    Entrypoint: ['/run', instance.id],
    Cmd: [`--base=${basePathOf(instance)}`],
    WorkingDir: '/srv',
    Hostname: 'box',
    User: '1000:1000',
  });
});

test('capabilities are those of the profile and the template, each once', () => {
  const capabilitiesOf = (spec: Partial<Template>) => profileOf(spec).HostConfig?.CapAdd as unknown;
  expect(capabilitiesOf({})).toEqual([]);
  expect(capabilitiesOf({ capAdd: ['NET_RAW'] })).toEqual(['NET_RAW']);
  const docker = PROFILE_CAPABILITIES.docker;
  const [first = ''] = docker;
  expect(capabilitiesOf({ profile: 'docker', capAdd: [first, 'NET_RAW'] })).toEqual([
    ...docker,
    'NET_RAW',
  ]);
});

test('the container has the address of its reservation, and searches no domain', () => {
  expect(profileOf({})).toMatchObject({
    HostConfig: { NetworkMode: 'n', DnsSearch: ['.'] },
    NetworkingConfig: { EndpointsConfig: { n: { IPAMConfig: { IPv4Address: '10.0.0.9' } } } },
  });
});

test('only the template has placeholders, and nobody sets the variables of the product', () => {
  const instance = {
    ...assignedInstance({ env: { A: '{id}', B: 'template', EPHEMERA_ID: 'forged' } }),
    env: { B: '{id}', EPHEMERA_PORT: '1' },
  };
  const { Env } = containerProfile(instance, placement);
  expect(new Set(Env)).toEqual(
    new Set([
      `A=${instance.id}`,
      'B={id}',
      `EPHEMERA_ID=${instance.id}`,
      `EPHEMERA_PORT=${instance.template.port}`,
      `EPHEMERA_BASE_PATH=${basePathOf(instance)}`,
      `EPHEMERA_URL=${instance.url}`,
    ]),
  );
});

test('empty volumes of the image are limited memory where the root is read-only', () => {
  const image = {
    owner: { uid: 7, gid: 8 },
    volumes: { '/empty': { hasContent: false }, '/full': { hasContent: true } },
  };
  const limits = { memory: 32 * 1024 ** 2, cpus: 1, pids: 9 };
  const mountsOf = (spec: Partial<Template>) =>
    profileOf({ limits, tmpfs: {}, ...spec }, image).HostConfig?.Tmpfs;
  const options = (size: number, exec = 'noexec') =>
    `rw,${exec},nosuid,nodev,size=${size},mode=1777,uid=7,gid=8`;
  expect(mountsOf({ readOnly: true })).toEqual({ '/empty': options(limits.memory) });
  expect(mountsOf({ readOnly: true, limits: { ...limits, memory: 2 ** 30 } })).toEqual({
    '/empty': options(64 * 1024 ** 2),
  });
  expect(mountsOf({ readOnly: false })).toEqual({});
  // The template decides where both name a folder. Programs run only where it says so.
  const tmpfs = { '/empty': { size: 9, exec: true }, '/tmp': { size: 5, exec: false } };
  expect(mountsOf({ readOnly: true, tmpfs })).toEqual({
    '/empty': options(9, 'exec'),
    '/tmp': options(5),
  });
});

test('without a known owner, a tmpfs belongs to root', () => {
  const { HostConfig } = profileOf({ tmpfs: { '/tmp': { size: 5, exec: false } } });
  expect(HostConfig?.Tmpfs).toEqual({ '/tmp': 'rw,noexec,nosuid,nodev,size=5,mode=1777' });
});

test.each([
  [{ runtime: 'kata' }, 'has no runtime "kata"; available runtimes: runc'],
  [{ runtime: 'toString' }, 'has no runtime "toString"'],
  [{ seccomp: 'unconfined' }, 'has no seccomp'],
  [{ apparmor: 'narrow' }, 'has no AppArmor'],
  [{ userns: 'remapped' }, 'does not map users'],
] as const)('a daemon that lacks what %j needs refuses the template', async (spec, problem) => {
  const plain = {
    info: () => Promise.resolve({ Runtimes: { runc: {} }, SecurityOptions: ['name=cgroupns'] }),
  } as unknown as Docker;
  await expect(isolationOptions(plain, sampleTemplate(spec))).rejects.toThrow(problem);
});

test('a seccomp profile is sent in one line, and one that is no JSON is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-seccomp-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [good, bad] = [join(folder, 'good.json'), join(folder, 'bad.json')];
  writeFileSync(good, '{\n  "defaultAction": "SCMP_ACT_ERRNO"\n}\n');
  writeFileSync(bad, '{');
  const isolation = await isolationOptions(docker, sampleTemplate({ seccomp: good }));
  const profile = 'seccomp={"defaultAction":"SCMP_ACT_ERRNO"}';
  expect(isolation).toEqual({ SecurityOpt: [NO_NEW_PRIVILEGES, profile] });
  for (const seccomp of [bad, join(folder, 'absent.json')]) {
    const refused = isolationOptions(docker, sampleTemplate({ seccomp }));
    await expect(refused).rejects.toThrow(`${seccomp} is not a readable seccomp profile`);
  }
});

test('a template without such options starts while the daemon does not tell what it has', async () => {
  const silent = { info: () => Promise.reject(new Error('no answer')) } as unknown as Docker;
  const isolation = await isolationOptions(silent, sampleTemplate());
  expect(isolation).toEqual({ SecurityOpt: [NO_NEW_PRIVILEGES] });
  await expect(isolationOptions(silent, sampleTemplate({ userns: 'remapped' }))).rejects.toThrow();
});

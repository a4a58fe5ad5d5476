import { sampleTemplate } from '@ephemera/test-support';
import type Docker from 'dockerode';
import type { HostConfig } from 'dockerode';
import { expect, test } from 'vitest';
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

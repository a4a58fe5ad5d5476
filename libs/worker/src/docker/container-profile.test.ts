import { sampleTemplate } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { expect, test } from 'vitest';
import { assignedInstance } from '../../test/docker-fixture.ts';
import { containerProfile, isolationOptions } from './container-profile.ts';

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

import { sampleTemplate } from '@ephemera/test-support';
import type Docker from 'dockerode';
import { expect, test } from 'vitest';
import { begunInstance } from '../../test/docker-fixture.ts';
import { containerProfile } from './container-profile.ts';
import { isolationOptions } from './isolation-options.ts';

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
] as const)('a template that asks for %s has it created so', async (_, wish, expected) => {
  const isolation = await isolationOptions(docker, sampleTemplate(wish));
  expect(isolation).toEqual(expected);
  const { HostConfig } = containerProfile(begunInstance(wish), {
    name: 'a',
    network: 'n',
    address: '10.0.0.9',
    labels: {},
    volumes: [],
    resolvers: [],
    isolation,
    cpuPeriod: 10,
  });
  expect(HostConfig).toMatchObject(expected);
});

import { expect, test } from 'vitest';
import { begunInstance } from '../../test/docker-fixture.ts';
import { containerProfile } from './container-profile.ts';

// The kernel takes a quota of 1 ms at least, and a period of 1 s at most.
test.each([
  [2, 10, 10_000, 20_000],
  [0.5, 10, 10_000, 5_000],
  [0.05, 10, 20_000, 1_000],
  [0.01, 10, 100_000, 1_000],
  [0.5, 1, 2_000, 1_000],
  [0.5, 100, 100_000, 50_000],
])('%d CPUs over %d ms are %d µs of which it has %d', (cpus, cpuPeriod, period, quota) => {
  const instance = begunInstance({ limits: { memory: 1, cpus, pids: 1 } });
  const { HostConfig } = containerProfile(instance, {
    name: 'a',
    network: 'n',
    address: '10.0.0.9',
    labels: {},
    volumes: [],
    resolvers: [],
    isolation: {},
    cpuPeriod,
  });
  expect(HostConfig).toMatchObject({ CpuPeriod: period, CpuQuota: quota });
});

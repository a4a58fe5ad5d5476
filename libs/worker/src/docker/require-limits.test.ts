import { expect, test } from 'vitest';
import { DOCKER_HOST } from '../../test/docker-fixture.ts';
import { connectDocker } from './connect-docker.ts';
import { requireLimits } from './require-limits.ts';

const docker = connectDocker(DOCKER_HOST);

test('a daemon that limits all that a template names will do', async () => {
  await requireLimits(docker);
});

test.each([
  [{ CpuCfsQuota: false, CpuCfsPeriod: false }, /cannot limit cpus, so/],
  [
    { MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false },
    /cannot limit memory, cpus, pids, so/,
  ],
])('one that tells %j of itself is refused', async (lacks, words) => {
  const info = async () => ({ ...((await docker.info()) as object), ...lacks });
  await expect(requireLimits({ info })).rejects.toThrow(words);
});

import { expect, test } from 'vitest';
import { DOCKER_HOST } from '../../test/docker-fixture.ts';
import { requireLimits } from './daemon-info.ts';
import { connectDocker } from './docker-client.ts';

const docker = connectDocker(DOCKER_HOST);

test('a daemon that supports all limits is accepted', async () => {
  await requireLimits(docker);
});

test.each([
  [{ CpuCfsQuota: false, CpuCfsPeriod: false }, /cannot limit cpus, so/],
  [
    { MemoryLimit: false, PidsLimit: false, CpuCfsQuota: false },
    /cannot limit memory, cpus, pids, so/,
  ],
])('a daemon with %j is refused', async (lacks, words) => {
  const info = async () => ({ ...((await docker.info()) as object), ...lacks });
  await expect(requireLimits({ info })).rejects.toThrow(words);
});

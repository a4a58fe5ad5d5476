import { expect, test } from 'vitest';
import { DOCKER_HOST } from '../../test/docker-fixture.ts';
import { connectDocker } from './connect-docker.ts';
import { hostName } from './host-name.ts';

test('reaches the daemon that DOCKER_HOST names', async () => {
  expect(String(await connectDocker(DOCKER_HOST).ping())).toBe('OK');
});

test.each(['', '/var/run/docker.sock', 'unix://', 'http://127.0.0.1:2375', 'ssh://host'])(
  'refuses "%s"',
  (address) => {
    expect(() => connectDocker(address)).toThrow(`not "${address}"`);
  },
);

test("a host's name is a part of a queue's name, and always the same", async () => {
  const docker = connectDocker(DOCKER_HOST);
  const name = await hostName(docker);
  expect(name).toMatch(/^[a-z0-9][a-z0-9-]{0,46}-[0-9a-f]{6}$|^host-[0-9a-f]{6}$/);
  expect(await hostName(docker)).toBe(name);
});

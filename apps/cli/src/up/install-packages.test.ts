import { expect, test } from 'vitest';

import { aptProgress, missingPackages } from './install-packages.ts';

test('only missing packages are installed', () => {
  const docker = { name: 'docker.io', program: 'dockerd' };
  const redis = { name: 'redis-server', program: 'redis-server' };
  const find = (program: string) => (program === 'dockerd' ? '/usr/sbin/dockerd' : undefined);
  expect(missingPackages([docker, redis], find)).toEqual([redis]);
});

test.each([
  ['dlstatus:3:17.9321:Retrieving file 3 of 9', 'download 18 % Retrieving file 3 of 9'],
  [
    'pmstatus:docker.io:56.25:Unpacking docker.io (amd64)',
    'install 56 % Unpacking docker.io (amd64)',
  ],
  ['pmconffile:/etc/x:1:a', undefined],
  ['nonsense', undefined],
])('parses apt status "%s"', (line, shown) => {
  expect(aptProgress(line)).toBe(shown);
});

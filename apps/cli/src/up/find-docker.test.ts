import { expect, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { findDocker } from './find-docker.ts';

const find = (dockerHost: string) =>
  findDocker(createReporter({ write: () => undefined }), {
    dockerHost,
    logFile: '/nowhere/dockerd.log',
    stop: new AbortController().signal,
  });

test('a Docker that is given and answers is used', async () => {
  const input = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  expect(await find(input)).toBe(input);
});

test('a Docker that is given and does not answer is not replaced by another', async () => {
  await expect(find('unix:///nowhere/docker.sock')).rejects.toThrow(
    'No Docker answers at unix:///nowhere/docker.sock, which DOCKER_HOST names.',
  );
});

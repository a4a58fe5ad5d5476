import { expect, test } from 'vitest';

import { createReporter } from '../terminal/reporter.ts';
import { findDocker } from './find-docker.ts';

const find = (dockerHost: string) =>
  findDocker(createReporter({ write: () => undefined }), {
    dockerHost,
    logFile: '/nowhere/dockerd.log',
    stop: new AbortController().signal,
  });

test('a configured Docker that answers is used', async () => {
  const input = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  expect(await find(input)).toBe(input);
});

test('a configured Docker that does not answer is not replaced', async () => {
  await expect(find('unix:///nowhere/docker.sock')).rejects.toThrow(
    'No Docker Engine answers at unix:///nowhere/docker.sock. Start it, or change DOCKER_HOST.',
  );
});

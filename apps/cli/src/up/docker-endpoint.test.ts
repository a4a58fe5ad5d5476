import { expect, test } from 'vitest';

import { describeEndpoint, parseDockerHost } from './docker-endpoint.ts';

test.each([
  ['unix:///run/docker.sock', { kind: 'unix', path: '/run/docker.sock' }],
  ['tcp://10.0.0.5:2376', { kind: 'tcp', host: '10.0.0.5', port: 2376 }],
  ['tcp://box', { kind: 'tcp', host: 'box', port: 2375 }],
  ['tcp://[::1]:2375', { kind: 'tcp', host: '::1', port: 2375 }],
])('%s is parsed', (text, endpoint) => {
  expect(parseDockerHost(text)).toEqual(endpoint);
});

test.each(['ssh://box', '/var/run/docker.sock', 'unix://run.sock', 'tcp://', 'nonsense'])(
  '%s is refused with a message that quotes it',
  (text) => {
    expect(() => parseDockerHost(text)).toThrow(`DOCKER_HOST is "${text}"`);
  },
);

test('an endpoint is formatted like DOCKER_HOST', () => {
  expect(describeEndpoint(parseDockerHost('unix:///run/x.sock'))).toBe('unix:///run/x.sock');
  expect(describeEndpoint(parseDockerHost('tcp://[::1]:2375'))).toBe('tcp://[::1]:2375');
});

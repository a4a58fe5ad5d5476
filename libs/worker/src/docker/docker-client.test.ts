import { expect, test } from 'vitest';
import { DOCKER_HOST } from '../../test/docker-fixture.ts';
import { hostName } from './daemon-info.ts';
import {
  connectDocker,
  DaemonTimeout,
  statusOf,
  ignoreStatus,
  withDeadline,
  daemonMessage,
} from './docker-client.ts';

test('connects to the daemon of DOCKER_HOST', async () => {
  expect(String(await connectDocker(DOCKER_HOST).ping())).toBe('OK');
});

test.each(['', '/var/run/docker.sock', 'unix://', 'http://127.0.0.1:2375', 'ssh://host'])(
  'refuses "%s"',
  (address) => {
    expect(() => connectDocker(address)).toThrow(`not "${address}"`);
  },
);

test('a host name is stable and valid in a queue name', async () => {
  const docker = connectDocker(DOCKER_HOST);
  const name = await hostName(docker);
  expect(name).toMatch(/^[a-z0-9][a-z0-9-]{0,46}-[0-9a-f]{6}$|^host-[0-9a-f]{6}$/);
  expect(await hostName(docker)).toBe(name);
});

const never = new Promise<string>(() => undefined);

// If a daemon dies mid-response, the client's promise never settles.
test('a call without a response times out', async () => {
  const input = withDeadline('inspect', 20, never);
  await expect(input).rejects.toThrow(DaemonTimeout);
  await expect(input).rejects.toThrow('inspect took over 20 ms');
});

test('a response or an error before the timeout is passed through', async () => {
  expect(await withDeadline('inspect', 1_000, Promise.resolve('seen'))).toBe('seen');
  const refused = withDeadline('inspect', 1_000, Promise.reject(new Error('no')));
  await expect(refused).rejects.toThrow('no');
});

/** An error as dockerode throws it. */
const refusal = (statusCode: number, message: string) =>
  Object.assign(new Error(`(HTTP code ${statusCode}) ${message}`), {
    statusCode,
    json: { message },
  });

test('ignored statuses become undefined', async () => {
  const gone = ignoreStatus([304, 404], Promise.reject<string>(refusal(404, 'gone')));
  expect(await gone).toBeUndefined();
  const other = ignoreStatus([304, 404], Promise.reject(refusal(500, 'broken')));
  await expect(other).rejects.toMatchObject({ statusCode: 500 });
  const unreachable = ignoreStatus([404], Promise.reject(new Error('ECONNREFUSED')));
  await expect(unreachable).rejects.toThrow('ECONNREFUSED');
});

test('daemonMessage returns the daemon’s message without the client’s prefix', () => {
  expect(daemonMessage(refusal(404, 'No such image'))).toBe('No such image');
  expect(daemonMessage(new Error('connect ENOENT'))).toBe('connect ENOENT');
  expect(daemonMessage('text')).toBe('text');
  expect(statusOf(null)).toBeUndefined();
  expect(statusOf(refusal(409, 'taken'))).toBe(409);
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BootError } from '@ephemera/domain';
import { z } from 'zod';
import {
  COMMON,
  ConfigError,
  count,
  duration,
  port,
  readEnvironment,
  size,
} from './environment.ts';

const schema = z.object({
  ...COMMON,
  PORT: port(8080),
  WAIT: duration('30s'),
  COUNT: count(8, 1, 100),
  SIZE: size('32k', '8k', '1m'),
});

const issuesOf = (environment: Record<string, string>) => {
  try {
    readEnvironment(schema, environment);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults;
  }
};

test('every setting has a default, and other variables are ignored', () => {
  expect(readEnvironment(schema, { PATH: '/bin', EPHEMERA_UNKNOWN: '1' })).toEqual({
    EPHEMERA_REDIS_URL: 'redis://127.0.0.1:6379/0',
    EPHEMERA_NAMESPACE: 'ephemera',
    EPHEMERA_LOG_LEVEL: 'info',
    EPHEMERA_HOST: '127.0.0.1',
    EPHEMERA_TOMBSTONE: 3600,
    PORT: 8080,
    WAIT: 30_000,
    COUNT: 8,
    SIZE: 32_768,
  });
});

test('an empty variable counts as unset', () => {
  expect(readEnvironment(schema, { PORT: '', WAIT: '', EPHEMERA_NAMESPACE: '' })).toMatchObject({
    PORT: 8080,
    WAIT: 30_000,
    EPHEMERA_NAMESPACE: 'ephemera',
  });
});

test('text is converted to numbers and milliseconds', () => {
  const input = { PORT: '9090', WAIT: '1h30m', COUNT: '100', SIZE: '1m', EPHEMERA_TOMBSTONE: '1' };
  expect(readEnvironment(schema, input)).toMatchObject({
    PORT: 9090,
    WAIT: 5_400_000,
    COUNT: 100,
    SIZE: 1_048_576,
    EPHEMERA_TOMBSTONE: 1,
  });
});

test.each([
  ['PORT', '0', 'must be a port from 1 to 65535'],
  ['PORT', '65536', 'must be a port from 1 to 65535'],
  ['PORT', 'http', 'must be a port number'],
  ['PORT', '80.5', 'must be a whole port number'],
  ['WAIT', '30', '"30" is not a duration such as 90s, 30m, 2h'],
  ['COUNT', '0', 'must be at least 1'],
  ['SIZE', '32768', '"32768" is not a size such as 32k'],
  ['SIZE', '7k', 'must be from 8k to 1m'],
  ['SIZE', '1025k', 'must be from 8k to 1m'],
  ['COUNT', '101', 'must be at most 100'],
  [
    'EPHEMERA_REDIS_URL',
    'http://x',
    'must be a redis://, rediss://, redis-sentinel:// or rediss-sentinel:// address',
  ],
  [
    'EPHEMERA_REDIS_URL',
    'redis-sentinel://a,b',
    'must name the master: redis-sentinel://HOST,HOST/MASTER/0',
  ],
  ['EPHEMERA_NAMESPACE', 'No Spaces', 'must be lowercase letters, digits and hyphens, at most 31'],
])('%s=%s is refused: %s', (path, value, detail) => {
  expect(issuesOf({ [path]: value })).toEqual([{ path, detail }]);
});

test('all errors are reported at once', () => {
  const faults = issuesOf({ PORT: 'x', WAIT: 'y', COUNT: 'z', EPHEMERA_LOG_LEVEL: 'loud' });
  expect(faults.map(({ path }) => path).sort()).toEqual(
    ['COUNT', 'EPHEMERA_LOG_LEVEL', 'PORT', 'WAIT'].sort(),
  );
  expect(() => readEnvironment(schema, { PORT: 'x', COUNT: '0' })).toThrow(
    'The environment cannot be used:\n  PORT: must be a port number\n  COUNT: must be at least 1',
  );
});

describe('a secret in a file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ephemera-secrets-'));
    await writeFile(join(folder, 'url'), 'redis://user:secret@r:1/0\n');
    await writeFile(join(folder, 'empty'), '\n');
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('is read without its line end', () => {
    const file = { EPHEMERA_REDIS_URL_FILE: join(folder, 'url') };
    const { EPHEMERA_REDIS_URL: url } = readEnvironment(schema, file);
    expect(url).toBe('redis://user:secret@r:1/0');
  });

  test.each([
    ['none', {}, /cannot be read \(ENOENT\)/],
    ['empty', {}, /is empty/],
    ['url', { EPHEMERA_REDIS_URL: 'redis://x' }, /conflicts with EPHEMERA_REDIS_URL/],
  ])('is reported together with other errors if invalid: %s, %o', (name, more, detail) => {
    const file = join(folder, name);
    expect(issuesOf({ EPHEMERA_REDIS_URL_FILE: file, PORT: 'x', ...more })).toEqual([
      { path: 'EPHEMERA_REDIS_URL_FILE', detail: expect.stringMatching(detail) as string },
      { path: 'PORT', detail: 'must be a port number' },
    ]);
  });

  test('is not read by an app that does not use it', () => {
    expect(issuesOf({ EPHEMERA_ADMIN_TOKEN_FILE: join(folder, 'none') })).toEqual([]);
  });
});

test('a ConfigError is a BootError', () => {
  const error = new ConfigError('The environment', [{ path: 'A', detail: 'is wrong' }]);
  expect(error).toBeInstanceOf(BootError);
  expect(error.name).toBe('ConfigError');
  expect(error.message).toBe('The environment cannot be used:\n  A: is wrong');
});

import { expect, test } from 'vitest';
import {
  isSentinelUrl,
  parseSentinelUrl,
  redactRedisUrl,
  redisUrlIssue,
  sentinelOptions,
} from './redis-address.ts';

test('a list of sentinels, with credentials of the data nodes, master and database', () => {
  expect(
    parseSentinelUrl('redis-sentinel://app:p%40ss%3A@10.0.0.1:5000,[fd00::1]:5001,s3/main/3'),
  ).toEqual({
    sentinels: [
      { host: '10.0.0.1', port: 5000 },
      { host: 'fd00::1', port: 5001 },
      { host: 's3', port: 26_379 },
    ],
    master: 'main',
    username: 'app',
    password: 'p@ss:',
    db: 3,
    isTls: false,
  });
});

test('credentials, ports and the database are optional', () => {
  expect(parseSentinelUrl('rediss-sentinel://s1/main')).toEqual({
    sentinels: [{ host: 's1', port: 26_379 }],
    master: 'main',
    username: undefined,
    password: undefined,
    db: 0,
    isTls: true,
  });
  expect(parseSentinelUrl('redis-sentinel://:secret@s1/main')).toMatchObject({
    username: undefined,
    password: 'secret',
  });
});

test.each([
  ['redis-sentinel://s1', /must name the master/],
  ['redis-sentinel://s1/', /must name the master/],
  ['redis-sentinel://s1/main/x', /database number/],
  ['redis-sentinel://s1/main/0/1', /database number/],
  ['redis-sentinel://s1:99999/main', /"s1:99999" is not a sentinel/],
  ['redis-sentinel://s1,,s2/main', /"" is not a sentinel/],
  ['redis-sentinel://fd00::1/main', /"fd00::1" is not a sentinel/],
  ['redis-sentinel://:100%@s1/main', /%25/],
  ['http://s1', /must be a redis:\/\//],
])('%s is refused: %s', (url, issue) => {
  expect(redisUrlIssue(url)).toMatch(issue);
});

test.each([
  'redis://127.0.0.1:6379/0',
  'rediss://a:b@r:1/0',
  'redis-sentinel://s1,s2:1/main/0',
  'rediss-sentinel://s1/main',
])('%s is accepted', (url) => {
  expect(redisUrlIssue(url)).toBeUndefined();
  expect(isSentinelUrl(url)).toBe(url.includes('sentinel'));
});

test.each([
  ['redis://:hunter2@h:1/0', 'redis://:***@h:1/0'],
  ['rediss://app:hunter2@h:1/0', 'rediss://app:***@h:1/0'],
  ['redis-sentinel://app:hun@ter2@s1:1,s2/main/0', 'redis-sentinel://app:***@s1:1,s2/main/0'],
  ['redis-sentinel://s1:1,s2:2/main/0', 'redis-sentinel://s1:1,s2:2/main/0'],
  ['redis://h:1/0', 'redis://h:1/0'],
])('a log shows %s as %s', (url, shown) => {
  expect(redactRedisUrl(url)).toBe(shown);
});

test('sentinels have their own credentials and TLS', () => {
  const address = {
    url: 'redis-sentinel://app:node@s1/main/2',
    tls: { ca: 'A' },
    sentinel: { username: 'watch', password: 'w', tls: { ca: 'B', key: undefined } },
  };
  expect(sentinelOptions(address)).toEqual({
    username: 'app',
    password: 'node',
    db: 2,
    sentinels: [{ host: 's1', port: 26_379 }],
    name: 'main',
    enableTLSForSentinelMode: false,
    sentinelUsername: 'watch',
    sentinelPassword: 'w',
    sentinelTLS: { ca: 'B' },
  });
  const secured = { url: 'rediss-sentinel://s1/main', tls: { ca: 'A' } };
  expect(sentinelOptions(secured)).toMatchObject({
    enableTLSForSentinelMode: true,
    tls: { ca: 'A' },
  });
  expect(sentinelOptions(secured)).not.toHaveProperty('sentinelTLS');
});

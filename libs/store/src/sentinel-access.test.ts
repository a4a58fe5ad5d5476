import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSentinel, waitFor } from '@ephemera/test-support';
import type { StartedSentinel } from '@ephemera/test-support';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectRedis } from './connect-redis.ts';
import { keysOf } from './keys.ts';
import { redisReplication } from './replication.ts';
import { requireRedis } from './require-redis.ts';
import { sentinelReplicas } from './required-replicas.ts';

// The examples in deploy/redis, with users of their own for data nodes, replicas and sentinels.

const deploy = (name: string) =>
  readFileSync(join(import.meta.dirname, '../../../deploy', name), 'utf8');

/** The settings that no test has to replace: not addresses, ports and paths. */
function settingsOf(name: string, left: RegExp): string[] {
  return deploy(name)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !left.test(line))
    .map((line) => line.replace(/^(sentinel auth-\w+) ephemera/, '$1 main'));
}

let folder: string;
let set: StartedSentinel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ephemera-acl-'));
  const acl = join(folder, 'users.acl');
  const replication = /^# (user replication .*)$/m.exec(deploy('redis/redis.conf'))?.[1] ?? '';
  const test = 'user default on nopass ~* &* +@all';
  const users = deploy('redis.acl').replace('user default off', test);
  await writeFile(acl, `${users}${replication}\n`);
  set = await startSentinel({
    replicas: 1,
    nodeLines: [...settingsOf('redis/redis.conf', /^(bind|port|aclfile) /), `aclfile ${acl}`],
    sentinelLines: settingsOf(
      'redis/sentinel.conf',
      /^(bind|port|sentinel (monitor|down-after|failover-timeout)) ?/,
    ),
    sentinelUser: 'watch:A-THIRD-PASSWORD',
  });
});
afterAll(async () => {
  await set.stop();
  await rm(folder, { recursive: true, force: true });
});

const addressWith = (password: string) => ({
  url: set.url.replace('://', '://ephemera:REPLACE-THIS-PASSWORD@'),
  sentinel: { username: 'watch', password },
});

test('the examples work, and the rights in them suffice for a failover', async () => {
  const address = addressWith('A-THIRD-PASSWORD');
  const redis = connectRedis(address, 'request', () => undefined);
  const replicas = sentinelReplicas(address);
  onTestFinished(() => {
    redis.disconnect();
    replicas.close();
  });
  await requireRedis(redis, address);
  expect(await redis.set('{ephemera}:x', '1')).toBe('OK');
  await expect(redis.set('other', '1')).rejects.toThrow(/NOPERM/);
  await waitFor('the sentinels', async () => (await replicas.read()) === 1);
  const keys = keysOf('ephemera');
  const replication = redisReplication(redis, keys, replicas);
  await redis.hset(keys.instance('a'), 'generation', 5);
  await replication.confirm({ id: 'a', generation: 5 });

  const { port } = await set.master();
  await set.failover();
  await waitFor('another master', async () => (await set.master()).port !== port);
  await waitFor('the record at the new master', async () => {
    const isThere = redis.status === 'ready' && redis.stream.remotePort !== port;
    return isThere && (await redis.hget(keys.instance('a'), 'generation')) === '5';
  });
});

test('a wrong password for the sentinels is reported for each of them', async () => {
  const address = addressWith('wrong');
  const redis = connectRedis(address, 'job', () => undefined);
  const message = await requireRedis(redis, address).catch((error: unknown) => String(error));
  expect(message?.match(/WRONGPASS/g)).toHaveLength(3);
  expect(message).not.toContain('REPLACE-THIS-PASSWORD');
});

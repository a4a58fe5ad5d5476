import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { keepSecret, prepareStateFolder, readSecret, withPrivateFiles } from './state-folder.ts';

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ephemera-state-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

test('a new state folder is closed to other users', () => {
  const root = join(makeFolder(), '.ephemera');
  const before = process.umask(0);
  try {
    prepareStateFolder(root, join(root, 'second'));
  } finally {
    process.umask(before);
  }
  for (const path of ['.', 'second', 'second/logs']) {
    expect([path, modeOf(join(root, path))]).toEqual([path, '700']);
  }
});

test('what an earlier start has left with wider modes is closed to other users', async () => {
  const root = join(makeFolder(), '.ephemera');
  const files = [
    'admin-token',
    'logs/proxy.log',
    'logs/proxy.log.1',
    'redis/appendonlydir/appendonly.aof.1.base.rdb',
    'second/admin-token',
    'second/logs/worker.log',
    'second/redis/dump.rdb',
  ].map((file) => join(root, file));
  for (const file of files) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, 'secret', { mode: 0o644 });
  }
  const socket = join(root, 'redis/redis.sock');
  const server = createServer().listen(socket);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  chmodSync(socket, 0o777);

  prepareStateFolder(root, join(root, 'second'));

  for (const path of [...files, socket]) expect([path, modeOf(path)]).toEqual([path, '600']);
  const folders = new Set(files.map((file) => dirname(file)));
  for (const path of [root, ...folders]) expect([path, modeOf(path)]).toEqual([path, '700']);
});

test('the target of a symbolic link and the file systems in the cache keep their modes', () => {
  const folder = makeFolder();
  const root = join(folder, '.ephemera');
  const outside = join(folder, 'outside');
  const cached = join(root, 'cache/debian/usr/bin/env');
  mkdirSync(dirname(cached), { recursive: true });
  mkdirSync(join(root, 'logs'));
  for (const file of [outside, cached]) writeFileSync(file, '', { mode: 0o755 });
  symlinkSync(outside, join(root, 'logs/link'));
  prepareStateFolder(root, root);
  expect([modeOf(outside), modeOf(cached)]).toEqual(['755', '755']);
});

test('a program that is spawned with private files creates files for its owner only', () => {
  const file = join(makeFolder(), 'file');
  const next = join(dirname(file), 'next');
  const before = process.umask(0o022);
  try {
    withPrivateFiles(() => execFileSync('/bin/sh', ['-c', `echo secret > ${file}`]));
    writeFileSync(next, '');
  } finally {
    process.umask(before);
  }
  expect([modeOf(file), modeOf(next)]).toEqual(['600', '644']);
});

test('a secret is generated once, for its owner only', () => {
  const folder = makeFolder();
  expect(readSecret(folder, 'redis-password')).toBeUndefined();
  const secret = keepSecret(folder, 'redis-password');
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(keepSecret(folder, 'redis-password')).toBe(secret);
  expect(keepSecret(folder, 'admin-token')).not.toBe(secret);
  expect(modeOf(join(folder, 'redis-password'))).toBe('600');
});

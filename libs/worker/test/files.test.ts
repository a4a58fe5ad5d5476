import { randomBytes } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Instance, Template } from '@ephemera/domain';
import type { FileList, FileResult } from '@ephemera/lifecycle';
import { createLogger } from '@ephemera/process';
import { waitFor } from '@ephemera/test-support';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { execProcesses } from '../src/docker/exec-processes.ts';
import { filesHelper } from '../src/docker/files-helper.ts';
import { runCommand } from '../src/docker/run-command.ts';
import { createExecEngine } from '../src/exec/exec-engine.ts';
import { limitCalls } from '../src/exec/limit-calls.ts';
import { fileOperations } from '../src/files/file-operations.ts';
import { FILE_LIMITS } from '../src/files/file-run.ts';
import { assignedInstance, openDocker } from './docker-fixture.ts';
import type { DockerFixture } from './docker-fixture.ts';
import { execInside } from './exec-inside.ts';

// File operations in a real container with a read-only root, over a real HTTP connection.

const TEMPLATE: Partial<Template> = {
  command: ['/bin/sh', '-c', 'while :; do sleep 60; done'],
  exec: 'admin',
  readOnly: true,
  user: '1000:1000',
  tmpfs: { '/work': { size: 64 * 1024 ** 2, exec: false }, '/tmp': { size: 1e6, exec: false } },
  limits: { memory: 256 * 1024 ** 2, cpus: 2, pids: 256 },
};

let fixture: DockerFixture;
let containerId: string;
let instance: Instance;
let site: Awaited<ReturnType<typeof serve>>;

beforeAll(async () => {
  fixture = await openDocker();
  const assigned = assignedInstance(TEMPLATE);
  ({ containerId } = await fixture.start(assigned));
  instance = { ...assigned, state: 'ready' };
  site = await serve();
});
afterAll(async () => {
  await site.close();
  await fixture.close();
});

/** The operations on the instance, behind a server as the host interface is one. */
async function serve(limits = FILE_LIMITS) {
  let pending = 0;
  const used: string[] = [];
  const engine = createExecEngine({
    containerOf: () => Promise.resolve(containerId),
    run: (id, execId, input) => runCommand(fixture.docker.getContainer(id), execId, input),
    processes: execProcesses(fixture.docker, { namespace: fixture.namespace, image: undefined }),
    instances: { get: () => Promise.resolve(instance) },
    recordUse(_target, type) {
      used.push(type);
      return Promise.resolve(true);
    },
    fingerprint: randomBytes(32).toString('hex'),
    logger: createLogger('test', 'silent'),
  });
  const operations = new Map(fileOperations(engine, limitCalls(), limits));
  const server = createServer((req, res) => {
    const { pathname, searchParams: query } = new URL(req.url ?? '', 'http://worker');
    const closing = new AbortController();
    res.once('close', () => closing.abort());
    const { id, generation } = instance;
    const call = { id, generation, operation: pathname.slice(1), query, signal: closing.signal };
    pending++;
    operations
      .get(call.operation)
      ?.answer?.(call, req, res)
      .catch(() => res.destroy())
      .finally(() => pending--);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const send = (operation: string, query: Record<string, string>) => {
    const path = `/${operation}?${new URLSearchParams(query).toString()}`;
    return request({ host: '127.0.0.1', port, path, method: 'POST' });
  };
  return {
    used,
    send,
    /** Operations that have not ended. */
    pending: () => pending,
    async close() {
      await engine.stop();
      server.closeAllConnections();
      server.close();
    },
  };
}

function responseTo(req: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    req.once('response', resolve).once('error', reject);
  });
}

async function call(operation: string, query: Record<string, string>, body?: Buffer | string) {
  const req = site.send(operation, query).end(body);
  const res = await responseTo(req);
  return { headers: res.headers, bytes: await buffer(res) };
}

async function json<T>(operation: string, query: Record<string, string>, body?: Buffer | string) {
  return JSON.parse((await call(operation, query, body)).bytes.toString()) as FileResult<T>;
}

const write = (path: string, body: Buffer | string, more: Record<string, string> = {}) =>
  json<string>('file-write', { path, limit: '100000000', ...more }, body);
const read = async (path: string, more: Record<string, string> = {}) => {
  const { headers, bytes } = await call('file-read', { path, ...more });
  return headers['content-type'] === 'application/json'
    ? (JSON.parse(bytes.toString()) as FileResult<never>)
    : { text: bytes.toString('latin1'), tag: headers['x-file-tag'] };
};
const inside = async (line: string) =>
  (await execInside(fixture.docker, containerId, line)).text.trim();
const refusal = (why: string) => expect.objectContaining({ kind: 'refused', why }) as unknown;

test('a file on a tmpfs below a read-only root comes back unchanged, as the user of the container', async () => {
  const bytes = randomBytes(3_000_000);
  const written = await write('/work/a/b/data', bytes);
  const back = await call('file-read', { path: '/work/a/b/data' });
  expect(back.bytes.equals(bytes)).toBe(true);
  expect(written).toEqual({ kind: 'done', value: back.headers['x-file-tag'] });
  expect(await inside('stat -c "%a %u %g" /work/a/b/data')).toBe('644 1000 1000');
  await write('/work/a/b/data', 'x', { mode: '700' });
  await write('/work/a/b/data', 'y');
  expect(await inside('stat -c "%a" /work/a/b/data; cat /work/a/b/data')).toBe('700\r\ny');
  expect(site.used).toContain('files');
});

test('ranges, from both ends', async () => {
  await write('/work/digits', '0123456789');
  expect(await read('/work/digits', { first: '2', last: '4' })).toMatchObject({ text: '234' });
  expect(await read('/work/digits', { first: '7' })).toMatchObject({ text: '789' });
  expect(await read('/work/digits', { last: '3' })).toMatchObject({ text: '789' });
  expect(await read('/work/digits', { first: '8', last: '99' })).toMatchObject({ text: '89' });
  const tag = (await call('file-read', { path: '/work/digits' })).headers['x-file-tag'] as string;
  expect(await read('/work/digits', { first: '2', ifTag: tag })).toMatchObject({
    text: '23456789',
  });
  // Of another file, all bytes.
  expect(await read('/work/digits', { first: '20', ifTag: '1-2-3' })).toMatchObject({
    text: '0123456789',
  });
  expect(await read('/work/digits', { first: '10' })).toMatchObject({ why: 'range', detail: '10' });
});

test('conditions: only a new file, and only an unchanged file', async () => {
  const first = await write('/work/cond', 'one', { new: 'new' });
  expect(first.kind).toBe('done');
  expect(await write('/work/cond', 'two', { new: 'new' })).toEqual(refusal('condition'));
  const tag = first.kind === 'done' ? first.value : '';
  expect((await write('/work/cond', 'two', { match: tag })).kind).toBe('done');
  // A program cannot restore the tag with the time of the file.
  expect(await write('/work/cond', 'six', { match: tag })).toEqual(refusal('condition'));
  expect(await write('/work/none', 'one', { match: '*' })).toEqual(refusal('condition'));
  expect(await read('/work/cond')).toMatchObject({ text: 'two' });
});

test('an upload that breaks off changes nothing and leaves nothing', async () => {
  await write('/work/cut/file', 'before');
  const req = site.send('file-write', { path: '/work/cut/file', limit: '100000000' });
  req.on('error', () => undefined);
  req.write(Buffer.alloc(200_000, 'x'));
  const names = () => inside('ls -A /work/cut');
  await waitFor('a part of it', async () => (await names()).includes('.ephemera-'));
  req.destroy();
  await waitFor('the end of the script', async () => (await names()) === 'file');
  expect(await read('/work/cut/file')).toMatchObject({ text: 'before' });
});

test('a body beyond the limit, or beyond the file system, changes nothing', async () => {
  const large = Buffer.alloc(2_000_000);
  expect(await write('/work/big', large, { limit: '1000000' })).toEqual(refusal('too_large'));
  // The tmpfs has 1 MB.
  const full = await write('/tmp/big', large);
  expect(full).toMatchObject({
    why: 'failed',
    detail: expect.stringContaining('No space') as string,
  });
  expect(await inside('ls -A /work/big /tmp 2>&1 | grep -c ephemera')).toBe('0');
});

test('a list has every kind of entry, and names with line breaks, quotes and other scripts', async () => {
  await inside(`mkdir -p /work/list/dir; cd /work/list; ln -s /etc/passwd link; mkfifo pipe`);
  const names = ['a\nb', '-rf', "it's $(touch pwned) `id`", 'ä', '%s%n', '\r\nx-evil: 1'];
  for (const name of names) expect((await write(`/work/list/${name}`, name)).kind).toBe('done');
  const list = await json<FileList>('file-list', { path: '/work/list' });
  if (list.kind !== 'done') throw new Error(list.why);
  const found = new Map(list.value.entries.map((entry) => [entry.name, entry]));
  expect([...found.keys()].sort()).toEqual([...names, 'dir', 'link', 'pipe'].sort());
  const types = ['a\nb', 'dir', 'link', 'pipe'].map((name) => found.get(name)?.type);
  expect(types).toEqual(['file', 'directory', 'link', 'other']);
  for (const name of names)
    expect((await read(`/work/list/${name}`)) as object).toHaveProperty('text');
});

test('paths stay in the container, whatever links and dots they have', async () => {
  const passwd = await inside('cat /etc/passwd | head -c 20');
  const escape = `/work/${'../'.repeat(40)}etc/passwd`;
  for (const path of [escape, '/proc/1/root/etc/passwd', '/proc/self/root/etc/passwd']) {
    const got = await read(path);
    if ('text' in got) expect(got.text.startsWith(passwd.replaceAll('\r', ''))).toBe(true);
  }
  // The file system of the host has this file, and the container has not.
  expect(await read(`/work/${'../'.repeat(40)}proc/1/root${process.execPath}`)).toEqual(
    refusal('no_file'),
  );
  await inside('ln -sfn /etc /work/out; ln -sf /etc/hosts /work/hosts');
  // Read-only, or of another user: as for the program itself.
  expect(await write('/work/out/new', 'x')).toMatchObject({ why: 'failed' });
  // A link is replaced, not followed, and its permissions are not those of the file.
  expect((await write('/work/hosts', 'mine')).kind).toBe('done');
  expect(await inside('cat /work/hosts; head -c 4 /etc/hosts')).toMatch(/^mine/);
  expect(await inside('stat -c %a /work/hosts')).toBe('644');
  await inside('chmod 4755 /work/hosts');
  await write('/work/hosts', 'mine');
  expect(await inside('stat -c %a /work/hosts')).toBe('755');
});

test('devices, pipes, directories and files of the kernel are no files to read or write', async () => {
  await inside('mkfifo /work/fifo; mkdir -p /work/folder');
  const kernel = ['/proc/1/status', '/proc/meminfo', '/sys/devices/system/cpu/online'];
  const devices = ['/dev/zero', '/work/fifo', '/work/folder', '/dev/null'];
  for (const path of [...devices, ...kernel]) {
    expect(await read(path), path).toEqual(refusal('not_regular'));
  }
  expect(await write('/work/folder', 'x')).toEqual(refusal('not_regular'));
  expect(await write('/proc/self/oom_score_adj', '-1000')).toMatchObject({ why: 'failed' });
  expect(await read('/work/absent')).toEqual(refusal('no_file'));
  expect(await read('/work/digits/x')).toEqual(refusal('no_file'));
});

test('a writer and a program that replaces the directory by a link: nothing leaves the directory', async () => {
  await inside('mkdir -p /work/race/real /work/elsewhere');
  const swap = `cd /work/race; i=0; while [ $i -lt 400 ]; do mv real kept; ln -s /work/elsewhere real; rm real; mv kept real; i=$((i+1)); done`;
  const swapping = inside(swap);
  const ends = new Set<string>();
  for (let i = 0; i < 10; i++) {
    const end = await write('/work/race/real/file', `value ${i}`);
    ends.add(end.kind === 'done' ? 'done' : end.why);
  }
  await swapping;
  // Each write went into one of the two directories whole, or was refused.
  expect(await inside('cat /work/race/real/file /work/elsewhere/file 2>/dev/null')).toMatch(
    /^(value \d)*$/,
  );
  expect(await inside('ls -A /work/race/real /work/elsewhere | grep -c ephemera')).toBe('0');
});

test('files are moved, also to another file system, and removed', async () => {
  await write('/work/from', 'content');
  const move = (path: string, to: string, replace = '') => json('file-move', { path, to, replace });
  expect((await move('/work/from', '/tmp/made/to')).kind).toBe('done');
  expect(await inside('cat /tmp/made/to; ls /work/from 2>&1 | grep -c No')).toBe(
    'content\r\n1'.replace('\r\n', ''),
  );
  await write('/work/other', 'other');
  expect(await move('/work/other', '/tmp/made/to')).toEqual(refusal('exists'));
  expect((await move('/work/other', '/tmp/made/to', 'replace')).kind).toBe('done');
  expect(await move('/work/absent', '/work/x')).toEqual(refusal('no_file'));
  const remove = (path: string, recursive = '') => json('file-remove', { path, recursive });
  expect(await remove('/tmp/made')).toEqual(refusal('not_empty'));
  expect((await remove('/tmp/made', 'recursive')).kind).toBe('done');
  expect(await remove('/tmp/made')).toEqual(refusal('no_file'));
});

test('no container without the setting has the program', async () => {
  const plain = assignedInstance({ ...TEMPLATE, exec: 'off' });
  const started = await fixture.start(plain);
  onTestFinished(() => fixture.containers.removeInstance(plain.id, 0));
  const { Mounts } = await fixture.docker.getContainer(started.containerId).inspect();
  expect(Mounts.map(({ Destination }) => Destination)).not.toContain('/.ephemera');
  expect(await inside('touch /.ephemera/x 2>&1')).toContain('Read-only');
});

/** A server that ends stalled transfers soon. */
async function impatient() {
  const own = await serve({ ...FILE_LIMITS, stall: 1_000 });
  onTestFinished(() => own.close());
  return own;
}

test('an upload that stalls is refused, leaves nothing, and its connection ends', async () => {
  const own = await impatient();
  const req = own.send('file-write', { path: '/work/stall/file', limit: '100000000' });
  req.write(Buffer.alloc(100_000));
  const res = await responseTo(req);
  const closed = new Promise((resolve) => req.on('error', () => undefined).once('close', resolve));
  expect(JSON.parse((await buffer(res)).toString())).toMatchObject({
    why: 'failed',
    detail: 'no byte has moved for 1 seconds',
  });
  expect(await inside('ls -A /work/stall')).toBe('');
  await closed;
  expect(own.pending()).toBe(0);
});

test('a download that the client does not read is ended', async () => {
  const own = await impatient();
  await inside('dd if=/dev/zero of=/work/long bs=1M count=30');
  const res = await responseTo(own.send('file-read', { path: '/work/long' }).end());
  await waitFor('the end of the operation', () => own.pending() === 0);
  await expect(buffer(res)).rejects.toThrow('aborted');
  await inside('rm /work/long');
});

test('an upload that the script refuses is answered before its body has arrived', async () => {
  await write('/work/early', 'x');
  const query = { path: '/work/early', limit: '1000', new: 'new' };
  const req = site.send('file-write', query).on('error', () => undefined);
  req.write('x');
  expect(JSON.parse((await buffer(await responseTo(req))).toString())).toEqual(
    refusal('condition'),
  );
  req.destroy();
});

test('an image cannot bring its own program to the containers of others', async () => {
  const { docker, namespace } = fixture;
  const [, volume = ''] =
    /(ephemera-files-\S+)/.exec(
      (await docker.getContainer(containerId).inspect()).Mounts.map(({ Name }) => Name).join(' '),
    ) ?? [];
  const size = Number(await inside('stat -c %s /.ephemera/busybox'));
  const image = `ephemera-test-files-${namespace}`;
  const maker = await docker.createContainer({ Image: 'ephemera/demo' });
  const files = pack();
  files.entry({ name: '.ephemera/busybox', mode: 0o755 }, Buffer.alloc(size, 'x'));
  files.entry({ name: '.ephemera/other' }, 'x');
  files.finalize();
  await maker.putArchive(files, { path: '/' });
  await maker.commit({ repo: image });
  await maker.remove();
  onTestFinished(async () => {
    await docker.getImage(image).remove({ force: true });
  });

  const other = `${namespace}-other`;
  const name = volume.replace(namespace, other);
  const fails: unknown[] = [];
  // The second volume is made without labels.
  onTestFinished(() => docker.getVolume(name).remove());
  const mount = await filesHelper(docker, other, (error) => fails.push(error)).mountFor(image);
  expect([fails, mount?.Source]).toEqual([[], name]);
  expect(await look(name)).toEqual(['busybox', volume.slice(-16)]);

  // A volume that has another program is repaired.
  const Mounts = [{ Type: 'volume' as const, Source: name, Target: '/.ephemera' }];
  await docker.getVolume(name).remove();
  const making = { Image: image, HostConfig: { Mounts } };
  await (await docker.createContainer(making)).remove({ v: true });
  expect(await look(name)).not.toContain(volume.slice(-16));
  await filesHelper(docker, other, (error) => fails.push(error)).mountFor(image);
  expect(await look(name)).toContain(volume.slice(-16));
  expect(fails).toEqual([]);

  /** The files of a volume, and the begin of the hash of the program. */
  async function look(Source: string): Promise<string[]> {
    const container = await docker.createContainer({
      Image: 'ephemera/demo',
      Entrypoint: ['/bin/sh', '-c', 'ls -A /v; sha256sum /v/busybox | head -c 16'],
      Cmd: [],
      Tty: true,
      HostConfig: { NetworkMode: 'none', Mounts: [{ Type: 'volume', Source, Target: '/v' }] },
    });
    try {
      await container.start();
      await container.wait();
      const text = (await container.logs({ stdout: true })).toString();
      return text.trim().split(/\s+/);
    } finally {
      await container.remove({ force: true, v: true });
    }
  }
});

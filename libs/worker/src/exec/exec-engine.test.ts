import { PassThrough } from 'node:stream';
import type { Instance } from '@ephemera/domain';
import type { ExecRequest } from '@ephemera/lifecycle';
import { createLogger } from '@ephemera/process';
import { sampleDraft, sampleTemplate, waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { createExecEngine } from './exec-engine.ts';
import type { ExecPorts } from './exec-engine.ts';
import { MAX_KEPT_PER_INSTANCE, MAX_RUNNING_PER_HOST, MAX_RUNNING_PER_INSTANCE } from './limits.ts';

// Which commands the worker starts, and which client finds one. The ports answer at once, in place of
// Docker; test/exec.test.ts runs commands in a container.

const FINGERPRINT = 'ab'.repeat(32);
const REQUEST: ExecRequest = { cmd: ['x'], env: {}, stdin: '', keepStdin: true, tty: false };
const OFFSETS = { stdout: 0, stderr: 0 };

const instanceOf = (change: Partial<Instance> = {}): Instance => ({
  ...sampleDraft({ template: sampleTemplate({ exec: 'owner' }) }),
  ...{ id: 'i1', generation: 7, supersedes: undefined, host: 'a', address: undefined },
  ...{ state: 'ready', reason: undefined, message: undefined, startedAt: undefined },
  ...{ createdAt: 0, lastTransitionAt: 0, expiresAt: 1e15, maxExpiresAt: 1e15 },
  ...change,
});

interface World {
  instance: Instance | undefined;
  containerId: string | undefined;
  /** Whether the last check, in Redis, lets the command run. */
  isRecorded: boolean;
  /** What Docker answers to a start. */
  error: Error | undefined;
  isRunning: boolean;
}

function open(ports: Partial<ExecPorts> = {}) {
  const world: World = {
    ...{ instance: instanceOf(), containerId: 'c1', isRecorded: true },
    ...{ error: undefined, isRunning: true },
  };
  const signals: string[] = [];
  const streams: PassThrough[] = [];
  const engine = createExecEngine({
    containerOf: () => Promise.resolve(world.containerId),
    run() {
      if (world.error !== undefined) return Promise.reject(world.error);
      const stream = new PassThrough();
      streams.push(stream);
      const exit = { exitCode: 0, pid: 1 };
      return Promise.resolve({
        stream,
        inspect: () => Promise.resolve({ ...exit, running: world.isRunning }),
        resize: () => Promise.resolve(),
      });
    },
    processes: {
      isSupported: true,
      signal: (_id, _search, signal) => Promise.resolve(signals.push(signal)),
      mayBeLeft: () => Promise.resolve(false),
      list: () => Promise.resolve([]),
    },
    instances: { get: () => Promise.resolve(world.instance) },
    recordUse: () => Promise.resolve(world.isRecorded),
    fingerprint: FINGERPRINT,
    logger: createLogger('test', 'silent'),
    ...ports,
  });
  /** All commands exit, and Docker closes their streams. */
  const exit = () => {
    world.isRunning = false;
    for (const stream of streams) stream.end();
  };
  onTestFinished(async () => {
    exit();
    await engine.stop();
  });
  const start = (id = 'i1', generation = 7) => engine.start({ id, generation }, REQUEST);
  const begin = async (id = 'i1') => {
    const result = await start(id);
    if (result.kind === 'refused') throw new Error(result.why);
    return result.value;
  };
  return { world, engine, start, begin, exit, signals, started: () => streams.length };
}

test('a command runs in a ready instance whose template allows it', async () => {
  const { begin, started } = open();
  const command = await begin();
  expect(command.execId).toMatch(/^[0-9a-f]{26}[a-z][a-z0-9]{25}$/);
  expect(command.execId.startsWith(FINGERPRINT.slice(0, 26))).toBe(true);
  expect(started()).toBe(1);
});

test.each<[Partial<Instance> | undefined, string]>([
  [undefined, 'gone'],
  [{ state: 'draining' }, 'gone'],
  [{ state: 'gone' }, 'gone'],
  [{ state: 'failed' }, 'gone'],
  [{ state: 'paused' }, 'paused'],
  [{ state: 'warm' }, 'not_ready'],
  [{ state: 'starting' }, 'not_ready'],
  [{ state: 'pending' }, 'not_ready'],
  [{ generation: 8 }, 'gone'],
  [{ template: sampleTemplate({ exec: 'off' }) }, 'off'],
  [{ template: sampleTemplate() }, 'off'],
])('no command runs in an instance that is %j: %s', async (change, why) => {
  const { world, start, started } = open();
  world.instance = change && instanceOf(change);
  expect(await start()).toMatchObject({ kind: 'refused', why });
  // Nor if it becomes so while the command is being started.
  world.instance = instanceOf();
  world.isRecorded = false;
  const starting = start();
  world.instance = change && instanceOf(change);
  expect(await starting).toMatchObject({ kind: 'refused', why });
  expect(started()).toBe(0);
});

test('no command runs without a container, nor where its processes could not be ended', async () => {
  const { world, start, started } = open();
  world.containerId = undefined;
  expect(await start()).toMatchObject({ kind: 'refused', why: 'gone' });
  world.containerId = 'c1';
  world.isRecorded = false;
  expect(await start()).toMatchObject({ kind: 'refused', why: 'gone' });
  expect(started()).toBe(0);
  const processes = { isSupported: false } as ExecPorts['processes'];
  const other = open({ processes });
  expect(await other.start()).toMatchObject({ kind: 'refused', why: 'unsupported' });
  expect(other.started()).toBe(0);
});

test('an instance has so many commands at once, and each end makes room', async () => {
  const { begin, start, exit, world } = open();
  const all = await Promise.all(Array.from({ length: MAX_RUNNING_PER_INSTANCE }, () => begin()));
  expect(await start()).toMatchObject({ kind: 'refused', why: 'full' });
  // Another instance has capacity left.
  await begin('i2');
  exit();
  await waitFor('their ends', () => all.every(({ isRunning }) => !isRunning));
  world.isRunning = true;
  // Starts in parallel count before Docker answers.
  const results = await Promise.all(Array.from({ length: 20 }, () => start()));
  const kinds = results.map(({ kind }) => kind);
  expect(kinds.filter((kind) => kind === 'done')).toHaveLength(MAX_RUNNING_PER_INSTANCE);
});

test('a host has so many commands at once', async () => {
  const { start } = open();
  const starts = Array.from({ length: MAX_RUNNING_PER_HOST + 1 }, (_, i) => start(`i${i}`));
  const refused = (await Promise.all(starts)).filter(({ kind }) => kind === 'refused');
  expect(refused).toEqual([{ kind: 'refused', why: 'full', detail: undefined }]);
});

test('a start that Docker refuses takes no place', async () => {
  const { world, start, begin } = open();
  world.error = Object.assign(new Error('x'), { statusCode: 404 });
  for (let i = 0; i < MAX_RUNNING_PER_INSTANCE; i++) {
    expect(await start()).toMatchObject({ kind: 'refused', why: 'gone' });
  }
  world.error = Object.assign(new Error('x'), { statusCode: 409 });
  expect(await start()).toMatchObject({ kind: 'refused', why: 'gone' });
  world.error = Object.assign(new Error('x'), {
    ...{ statusCode: 400, json: { message: 'OCI runtime exec failed: no such user' } },
  });
  expect(await start()).toMatchObject({ kind: 'refused', why: 'invalid' });
  const broken = new Error('the daemon is away');
  world.error = broken;
  await expect(start()).rejects.toBe(broken);
  world.error = undefined;
  await Promise.all(Array.from({ length: MAX_RUNNING_PER_INSTANCE }, () => begin()));
});

test('a command is found only with its instance and generation', async () => {
  const { engine, begin } = open();
  const { execId } = await begin();
  const find = (id: string, generation: number, of = execId) => engine.find({ id, generation }, of);
  expect(find('i1', 7)).toMatchObject({ kind: 'done', value: { execId } });
  expect(find('i2', 7)).toMatchObject({ kind: 'refused', why: 'unknown' });
  expect(find('i1', 8)).toMatchObject({ kind: 'refused', why: 'unknown' });
  const other = `${'0'.repeat(26)}${execId.slice(26)}`;
  expect(find('i1', 7, other)).toEqual({ kind: 'done', value: 'lost' });
  expect(engine.status('lost', other, OFFSETS)).toMatchObject({ state: 'lost', execId: other });
});

test('ended commands take no more input, no signal and no size', async () => {
  const { engine, begin, exit, world, signals } = open();
  const command = await begin();
  expect(await engine.resize(command, 80, 24)).toMatchObject({ why: 'no_tty' });
  world.instance = instanceOf({ state: 'paused' });
  expect(await engine.kill(command, 'TERM')).toMatchObject({ why: 'paused' });
  expect(signals).toEqual([]);
  world.instance = instanceOf();
  expect(await engine.kill(command, 'TERM')).toEqual({ kind: 'done', value: null });
  expect(signals).toEqual(['TERM']);
  exit();
  expect(await engine.kill(command, 'KILL')).toEqual({ kind: 'done', value: null });
  expect(signals).toEqual(['TERM', 'KILL']);
  await waitFor('its end', () => !command.isRunning);
  expect(await engine.kill(command, 'KILL')).toMatchObject({ why: 'ended' });
  expect(await engine.resize(command, 80, 24)).toMatchObject({ why: 'ended' });
  expect(await engine.write(command, { data: '', end: false })).toMatchObject({ why: 'ended' });
});

test('the oldest ended commands of an instance are dropped', async () => {
  const { engine, begin, exit, world } = open();
  const ids: string[] = [];
  for (let i = 0; i < MAX_KEPT_PER_INSTANCE + 2; i++) {
    world.isRunning = true;
    const command = await begin();
    ids.push(command.execId);
    exit();
    await waitFor('its end', () => !command.isRunning);
  }
  // Commands are dropped when another one starts.
  const kinds = ids.map((execId) => engine.find({ id: 'i1', generation: 7 }, execId).kind);
  expect(kinds).toEqual(['refused', ...Array<string>(MAX_KEPT_PER_INSTANCE + 1).fill('done')]);
});

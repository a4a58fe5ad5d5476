import { randomBytes } from 'node:crypto';
import type { Instance, Template } from '@ephemera/domain';
import { createLogger } from '@ephemera/process';
import type { ExecRequest } from '@ephemera/lifecycle';
import { waitFor } from '@ephemera/test-support';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { execProcesses } from '../src/docker/exec-processes.ts';
import { runCommand } from '../src/docker/run-command.ts';
import { createExecEngine } from '../src/exec/exec-engine.ts';
import { OUTPUT_BYTES } from '../src/exec/limits.ts';
import { assignedInstance, openDocker } from './docker-fixture.ts';
import type { DockerFixture } from './docker-fixture.ts';

// Commands in a real container: their output, their input, and that nothing of them is left.

const KEEP_RUNNING = {
  command: ['/bin/sh', '-c', 'while :; do sleep 60; done'],
  exec: 'admin',
  limits: { memory: 64 * 1024 ** 2, cpus: 2, pids: 256 },
} as const;

let fixture: DockerFixture;
let containerId: string;
let instance: Instance;

beforeAll(async () => {
  fixture = await openDocker();
  ({ instance, containerId } = await ready());
});
afterAll(() => fixture.close());

async function ready(template: Partial<Template> = {}) {
  const assigned = assignedInstance({ ...KEEP_RUNNING, ...template });
  const started = await fixture.start(assigned);
  return { containerId: started.containerId, instance: { ...assigned, state: 'ready' as const } };
}

const shell = (line: string, more: Partial<ExecRequest> = {}): ExecRequest => ({
  ...{ cmd: ['/bin/sh', '-c', line], env: {}, stdin: '', keepStdin: false, tty: false },
  ...more,
});

const FROM_START = { stdout: 0, stderr: 0 };

/** An engine of its own for each test, so that limits and commands are not shared. */
function open(image?: string) {
  const processes = execProcesses(fixture.docker, { namespace: fixture.namespace, image });
  const recorded: string[] = [];
  const world = { instance, containerId: containerId as string | undefined };
  const engine = createExecEngine({
    containerOf: () => Promise.resolve(world.containerId),
    run: (id, execId, request) => runCommand(fixture.docker.getContainer(id), execId, request),
    processes,
    instances: { get: () => Promise.resolve(world.instance) },
    recordUse(target) {
      recorded.push(target.id);
      return Promise.resolve(world.instance.state === 'ready');
    },
    fingerprint: randomBytes(32).toString('hex'),
    logger: createLogger('test', 'silent'),
  });
  onTestFinished(() => engine.stop());
  const start = async (request: ExecRequest) => {
    const started = await engine.start(world.instance, request);
    if (started.kind === 'refused') throw new Error(`${started.why}: ${started.detail ?? ''}`);
    return started.value;
  };
  /** Runs a command to its end. */
  const run = async (request: ExecRequest) => {
    const command = await start(request);
    await waitFor('the end of the command', () => !command.isRunning);
    return read(command.status(FROM_START));
  };
  return { engine, processes, recorded, world, start, run };
}

type Status = ReturnType<Awaited<ReturnType<ReturnType<typeof open>['start']>>['status']>;
const read = ({ stdout, stderr, ...state }: Status) => ({
  ...state,
  stdout: Buffer.from(stdout.data, 'base64'),
  stderr: Buffer.from(stderr.data, 'base64'),
});

/** The commands that run in the container, as the host sees them. */
async function processesIn(id: string): Promise<string[]> {
  const top = (await fixture.docker.getContainer(id).top({ ps_args: '-eo pid,args' })) as {
    Processes: [string, string][];
  };
  return top.Processes.map(([, line]) => line);
}

beforeEach(async () => {
  // Nothing of an earlier test: else a count below would be about that.
  expect(await processesIn(containerId)).not.toContainEqual(expect.stringMatching(/sleep 4\d\d/));
});

test('the exit code, both streams, variables, the directory and the user', async () => {
  const { run, recorded } = open();
  const done = await run(
    shell('echo "$GREETING $(pwd) $(id -u)"; echo trouble >&2; exit 3', {
      env: { GREETING: 'hello' },
      cwd: '/tmp',
      user: '1234:1234',
    }),
  );
  expect(done).toMatchObject({ state: 'exited', exitCode: 3 });
  expect(done.stdout.toString()).toBe('hello /tmp 1234\n');
  expect(done.stderr.toString()).toBe('trouble\n');
  expect(recorded).toEqual([instance.id]);
});

test('binary input comes back unchanged, and the input ends', async () => {
  const { run } = open();
  const bytes = randomBytes(100_000);
  const done = await run(shell('cat', { stdin: bytes.toString('base64') }));
  expect(done).toMatchObject({ state: 'exited', exitCode: 0 });
  expect(done.stdout.equals(bytes)).toBe(true);
});

test('input that stays open takes more, until it is ended', async () => {
  const { start } = open();
  const command = await start(
    shell('cat', { stdin: Buffer.from('one ').toString('base64'), keepStdin: true }),
  );
  const data = Buffer.from('two').toString('base64');
  expect(await command.write({ data, end: false })).toMatchObject({ kind: 'done' });
  expect(await command.write({ data: '', end: true })).toMatchObject({ kind: 'done' });
  await waitFor('the end of the command', () => !command.isRunning);
  expect(read(command.status(FROM_START)).stdout.toString()).toBe('one two');
  expect(await command.write({ data, end: false })).toMatchObject({ why: 'ended' });
});

test('of 10 MB of output, the last part is stored, with its position', async () => {
  const { start } = open();
  const command = await start(shell('head -c 10000000 /dev/zero; printf end'));
  await waitFor('the end of the command', () => !command.isRunning, 30_000);
  const { stdout } = command.status(FROM_START);
  const data = Buffer.from(stdout.data, 'base64');
  expect(stdout).toMatchObject({ total: 10_000_003, offset: 10_000_003 - OUTPUT_BYTES });
  expect(data.length).toBe(OUTPUT_BYTES);
  expect(data.subarray(-4).toString()).toBe('\0end');
});

test('a reader gets all of 10 MB, however slowly it reads', async () => {
  const { start } = open();
  const command = await start(shell('head -c 10000000 /dev/zero'));
  let total = 0;
  let end: unknown;
  for await (const part of command.read(FROM_START, new AbortController().signal)) {
    // Lets the command write while nobody reads.
    await new Promise((resolve) => setImmediate(resolve));
    if (part.kind === 'end') end = part.state;
    else {
      expect(part.offset).toBe(total);
      total += part.data.length;
    }
  }
  expect({ total, end }).toEqual({ total: 10_000_000, end: { state: 'exited', exitCode: 0 } });
});

test('a reader that leaves ends its reading, and the command goes on', async () => {
  const { start, engine } = open();
  const command = await start(shell('yes'));
  const leaving = new AbortController();
  let parts = 0;
  for await (const part of command.read(FROM_START, leaving.signal)) {
    if (part.kind === 'stdout' && ++parts === 3) leaving.abort();
  }
  const before = command.status(FROM_START).stdout.total;
  await waitFor('more output', () => command.status(FROM_START).stdout.total > before + 1_000_000);
  await engine.kill(command, 'KILL');
  await waitFor('the end of the command', () => !command.isRunning);
});

/** Descendants of every kind: in another session, orphaned, and with an emptied environment. */
const FAMILY = `(setsid sh -c 'sleep 411 & env -i sleep 412' &)
  setsid env -i sleep 413 &
  env -i sleep 414 &
  trap '' TERM
  sleep 415; sleep 416`;

const familyIn = async (id: string) =>
  (await processesIn(id)).filter((line) => /^sleep 41\d/.test(line)).sort();

for (const image of [undefined, 'ephemera/demo']) {
  const where = image === undefined ? 'from the host' : 'from a helper container';

  test(`a kill ends all descendants, ${where}`, async () => {
    const { engine, start } = open(image);
    const other = await start(shell('sleep 499'));
    const command = await start(shell(FAMILY));
    await waitFor('the family', async () => (await familyIn(containerId)).length === 5);
    await engine.kill(command, 'KILL');
    expect(await familyIn(containerId)).toEqual([]);
    await waitFor('the end of the command', () => !command.isRunning);
    expect(command.state).toEqual({ state: 'killed', reason: 'request' });
    // Another command, and the container itself, are spared.
    expect(other.isRunning).toBe(true);
    expect(await processesIn(containerId)).toContain('sleep 499');
    expect(await processesIn(containerId)).toContain('sleep 60');
    await engine.kill(other, 'KILL');
  });

  test(`what a command leaves behind is killed when it exits, ${where}`, async () => {
    const { run } = open(image);
    const done = await run(
      shell('(setsid sleep 411 &) ; sleep 412 & env -i sleep 413 & echo started'),
    );
    expect(done).toMatchObject({ state: 'exited', exitCode: 0 });
    expect(done.stdout.toString()).toBe('started\n');
    expect(await familyIn(containerId)).toEqual([]);
  });

  test(`a command that empties its environment gets signals, ${where}`, async () => {
    const { engine, start } = open(image);
    for (const signal of ['TERM', 'KILL'] as const) {
      const command = await start({ ...shell(''), cmd: ['env', '-i', 'sleep', '417'] });
      await waitFor('its program', async () => (await familyIn(containerId)).length === 1);
      expect(await engine.kill(command, signal)).toMatchObject({ kind: 'done' });
      await waitFor('the end of the command', () => !command.isRunning);
      expect(await familyIn(containerId)).toEqual([]);
    }
  });
}

test('a signal reaches the processes, and the command decides', async () => {
  const { engine, start } = open();
  const command = await start(
    shell(`trap 'echo caught; exit 7' INT; echo on; while :; do sleep 0.05; done`),
  );
  await waitFor('its trap', () => command.status(FROM_START).stdout.total > 0);
  await engine.kill(command, 'INT');
  await waitFor('the end of the command', () => !command.isRunning);
  expect(command.state).toEqual({ state: 'exited', exitCode: 7 });
});

test('a signal that reaches no process is an error while the command runs', async () => {
  const { engine, start, processes } = open();
  const command = await start(shell('sleep 418'));
  const { signal } = processes;
  processes.signal = () => Promise.resolve(0);
  await expect(engine.kill(command, 'TERM')).rejects.toThrow('no process');
  processes.signal = signal;
  await engine.kill(command, 'KILL');
  await waitFor('the end of the command', () => !command.isRunning);
});

test('a timeout kills the command and its descendants', async () => {
  const { run } = open();
  const done = await run(shell(FAMILY, { timeout: 1_000 }));
  expect(done).toMatchObject({ state: 'killed', reason: 'timeout' });
  expect(await familyIn(containerId)).toEqual([]);
});

test('the end of the instance ends the command with its reason', async () => {
  const own = await ready();
  const { world, start } = open();
  Object.assign(world, own);
  const command = await start(shell('sleep 60'));
  world.instance = { ...own.instance, state: 'draining', reason: 'ttl', generation: 8 };
  await fixture.containers.removeInstance(own.instance.id, 0);
  world.containerId = undefined;
  await waitFor('the end of the command', () => !command.isRunning);
  expect(command.state).toEqual({ state: 'killed', reason: 'ttl' });
});

test('a terminal: its size, and one stream', async () => {
  const { engine, start } = open();
  const command = await start(
    shell('read line; stty size; echo trouble >&2', { tty: true, keepStdin: true }),
  );
  expect(await engine.resize(command, 91, 37)).toMatchObject({ kind: 'done' });
  await command.write({ data: Buffer.from('go\n').toString('base64'), end: false });
  await waitFor('the end of the command', () => !command.isRunning);
  const { stdout, stderr } = read(command.status(FROM_START));
  expect(stdout.toString()).toContain('37 91\r\ntrouble\r\n');
  expect(stderr.length).toBe(0);
});

test('a program that does not exist ends with 126 or 127 and the message of Docker', async () => {
  const { engine, run } = open();
  const request = { ...shell(''), cmd: ['no-such-program'] };
  const started = await engine.start(instance, request);
  if (started.kind === 'refused') {
    expect(started).toMatchObject({
      why: 'invalid',
      detail: expect.stringContaining('no-such-program') as string,
    });
    return;
  }
  const done = await run(request);
  expect(done).toMatchObject({ state: 'exited' });
  expect([126, 127]).toContain((done as { exitCode?: number }).exitCode);
  expect(`${done.stdout.toString()}${done.stderr.toString()}`).toContain('no-such-program');
});

test('refusals: not allowed, not ready, paused, ended, other generation', async () => {
  const { engine, world, recorded } = open();
  const why = async (change: Partial<Instance>, generation = instance.generation) => {
    world.instance = { ...instance, ...change };
    const result = await engine.start({ id: instance.id, generation }, shell('true'));
    return result.kind === 'refused' ? result.why : result.kind;
  };
  expect(await why({ template: { ...instance.template, exec: 'off' } })).toBe('off');
  expect(await why({ template: { ...instance.template, exec: undefined } })).toBe('off');
  expect(await why({ state: 'starting' })).toBe('not_ready');
  expect(await why({ state: 'warm' })).toBe('not_ready');
  expect(await why({ state: 'paused' })).toBe('paused');
  expect(await why({ state: 'draining' })).toBe('gone');
  expect(await why({ state: 'gone' })).toBe('gone');
  expect(await why({}, instance.generation - 1)).toBe('gone');
  expect(recorded).toEqual([]);
});

test('100 parallel commands: as many run as the limit of an instance, and none is left', async () => {
  const { engine } = open();
  const started = await Promise.all(
    Array.from({ length: 100 }, () => engine.start(instance, shell('sleep 420'))),
  );
  const running = started.flatMap((result) => (result.kind === 'done' ? [result.value] : []));
  const refused = started.filter((result) => result.kind === 'refused' && result.why === 'full');
  expect([running.length, refused.length]).toEqual([16, 84]);
  await engine.stop();
  expect((await processesIn(containerId)).filter((line) => line === 'sleep 420')).toEqual([]);
});

test('a kill in a paused container is refused at once, and is not tried in rounds', async () => {
  const { engine, processes, start } = open();
  const command = await start(shell('sleep 421'));
  // A pause while Docker starts a command can block the daemon.
  await waitFor('it', async () => (await processesIn(containerId)).includes('sleep 421'));
  const container = fixture.docker.getContainer(containerId);
  await container.pause();
  try {
    const search = { execIds: [command.execId] };
    await expect(processes.signal(containerId, search, 'KILL')).rejects.toThrow('is paused');
  } finally {
    await container.unpause();
  }
  await engine.kill(command, 'KILL');
  await waitFor('the end of the command', () => !command.isRunning);
});

test('the stop of the worker searches a container for all its commands at once', async () => {
  const { engine, processes, start } = open();
  const commands = await Promise.all(
    Array.from({ length: 8 }, () => start(shell('setsid sleep 422 & sleep 423'))),
  );
  const isInContainer = async () =>
    (await processesIn(containerId)).filter((line) => /^sleep 42[23]/.test(line)).length;
  await waitFor('their processes', async () => (await isInContainer()) === 16);
  const signal = vi.spyOn(processes, 'signal');
  await engine.stop();
  const execIds = commands.map(({ execId }) => execId);
  for (const [, search] of signal.mock.calls) {
    expect([...search.execIds].sort()).toEqual([...execIds].sort());
  }
  expect(signal).toHaveBeenCalled();
  expect(await isInContainer()).toBe(0);
  await waitFor('their ends', () => commands.every(({ isRunning }) => !isRunning));
  expect(commands[0]?.state).toEqual({ state: 'killed', reason: 'worker_stopped' });
});

test('no command starts while the worker stops, and one that is being started is killed', async () => {
  const { engine } = open();
  const starting = engine.start(instance, shell('sleep 424'));
  const stopped = engine.stop();
  expect(await engine.start(instance, shell('true'))).toMatchObject({ why: 'stopping' });
  await Promise.all([starting, stopped]);
  expect(await processesIn(containerId)).not.toContain('sleep 424');
});

test('a command of an earlier worker is lost, and its processes are found', async () => {
  const { start, processes } = open();
  const { engine: next } = open();
  const command = await start(shell('sleep 430'));
  const found = next.find(instance, command.execId);
  if (found.kind !== 'done') throw new Error(found.why);
  expect(next.status(found.value, command.execId, FROM_START).state).toBe('lost');
  await waitFor('its mark', async () => (await processes.list(containerId)).length > 0);
  expect(await processes.list(containerId)).toEqual([command.execId]);
  const second = await start(shell('sleep 431'));
  await waitFor('both marks', async () => (await processes.list(containerId)).length === 2);
  const execIds = [command.execId, second.execId];
  expect(await processes.signal(containerId, { execIds }, 'KILL')).toBe(2);
  expect(await processes.list(containerId)).toEqual([]);
});

test('only the instance that runs a command finds it', async () => {
  const { engine, start } = open();
  const command = await start(shell('sleep 440'));
  const other = { id: 'b'.repeat(26), generation: instance.generation };
  expect(engine.find(other, command.execId)).toMatchObject({ why: 'unknown' });
  const older = { id: instance.id, generation: instance.generation - 1 };
  expect(engine.find(older, command.execId)).toMatchObject({ why: 'unknown' });
  expect(engine.find(instance, command.execId)).toMatchObject({ kind: 'done' });
  await engine.kill(command, 'KILL');
});

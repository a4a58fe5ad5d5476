import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import type { ExecProcesses } from '../docker/exec-processes.ts';
import type { StartedCommand } from '../docker/run-command.ts';
import { Command } from './command.ts';
import { MAX_WAITING_INPUT_BYTES } from './limits.ts';

// A command with a real socket in place of the hijacked connection to Docker.

async function open(options: {
  readonly processes?: Partial<ExecProcesses>;
  readonly inspect: StartedCommand['inspect'];
  readonly onDocker?: (socket: Socket) => void;
  readonly lastOutputLimitMs?: number;
  readonly killPauseMs?: number;
}) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    options.onDocker?.(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stream = connect((server.address() as AddressInfo).port, '127.0.0.1');
  await once(stream, 'connect');
  const command = new Command({
    ...{ execId: 'x', containerId: 'c', target: { id: 'i', generation: 1 } },
    request: { cmd: ['x'], env: {}, stdin: '', keepStdin: true, tty: true },
    started: { stream, inspect: options.inspect, resize: () => Promise.resolve() },
    processes: {
      isSupported: true,
      signal: () => Promise.resolve(1),
      mayBeLeft: () => Promise.resolve(false),
      list: () => Promise.resolve([]),
      ...options.processes,
    },
    lastOutputLimitMs: options.lastOutputLimitMs ?? 60_000,
    killPauseMs: options.killPauseMs ?? 1_000,
  });
  onTestFinished(() => {
    command.close();
    server.close();
  });
  return command;
}

const EXITED = { running: false, exitCode: 0, pid: 1 };
const RUNNING = { running: true, exitCode: -1, pid: 1 };
const MUCH = Buffer.alloc(4_000_000, 'x');

/** A reader that takes one part and then nothing. */
async function stall(command: Command) {
  const leaving = new AbortController();
  const reading = command.read({ stdout: 0, stderr: 0 }, leaving.signal);
  onTestFinished(() => leaving.abort());
  await reading.next();
}

test('a reader that stops reading delays the end of a command for a limited time', async () => {
  const command = await open({
    inspect: () => Promise.resolve(EXITED),
    onDocker: (socket) => socket.end(MUCH),
    lastOutputLimitMs: 300,
  });
  await stall(command);
  expect(await command.waitForExit(() => undefined)).toEqual(EXITED);
});

test('a reader does not delay the end of a command whose container is gone', async () => {
  let inspections = 0;
  const command = await open({
    inspect: () => Promise.resolve(++inspections === 1 ? EXITED : undefined),
    onDocker: (socket) => socket.end(MUCH),
  });
  await stall(command);
  expect(await command.waitForExit(() => undefined)).toEqual(EXITED);
});

test('a kill that fails is repeated after pauses that double', async () => {
  const at: number[] = [];
  let isRunning = true;
  const signal = () => {
    at.push(performance.now());
    return Promise.reject(new Error('processes are left'));
  };
  const command = await open({
    inspect: () => Promise.resolve(isRunning ? RUNNING : EXITED),
    // While the output is closed, Docker is asked more often.
    onDocker: (socket) => socket.resume().end(),
    processes: { signal },
    killPauseMs: 50,
  });
  await command.kill('request').catch(() => undefined);
  const exit = command.waitForExit(() => undefined);
  await waitFor('four repetitions', () => at.length === 5);
  isRunning = false;
  await exit;
  const pauses = at.slice(2).map((time, i) => time - (at[i + 1] ?? 0));
  for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThanOrEqual(100 * 2 ** i);
});

test('what a command leaves behind is given up after some failed kills', async () => {
  let kills = 0;
  const command = await open({
    inspect: () => Promise.resolve(EXITED),
    processes: {
      mayBeLeft: () => Promise.resolve(true),
      signal: () => Promise.reject(new Error(`processes are left (${++kills})`)),
    },
    onDocker: (socket) => socket.resume().end(),
    killPauseMs: 1,
  });
  expect(await command.waitForExit(() => undefined)).toEqual(EXITED);
  expect(kills).toBe(5);
});

test('failed kills before the exit do not count for what is left after it', async () => {
  let isRunning = true;
  let kills = 0;
  let restKills = 0;
  const command = await open({
    inspect: () => Promise.resolve(isRunning ? RUNNING : EXITED),
    onDocker: (socket) => socket.resume().end(),
    processes: {
      mayBeLeft: () => Promise.resolve(true),
      signal() {
        if (isRunning) kills++;
        else restKills++;
        return Promise.reject(new Error('processes are left'));
      },
    },
    killPauseMs: 1,
  });
  await command.kill('timeout').catch(() => undefined);
  const exit = command.waitForExit(() => undefined);
  await waitFor('six failed kills', () => kills === 6);
  isRunning = false;
  await exit;
  expect(restKills).toBe(5);
});

test('input that Docker can no longer read does not count as waiting', async () => {
  let docker: Socket | undefined;
  const command = await open({
    inspect: () => Promise.resolve(RUNNING),
    onDocker: (socket) => (docker = socket.pause()),
  });
  // More than the buffers of both sockets take.
  void command.write({ data: Buffer.alloc(32_000_000).toString('base64'), end: false });
  expect(command.waitingInputBytes).toBeGreaterThan(0);
  await waitFor('the connection', () => docker !== undefined);
  docker?.end();
  await waitFor('the end of the input', () => command.waitingInputBytes === 0);
  const more = await command.write({ data: '', end: true });
  expect(more).toEqual({ kind: 'refused', why: 'ended' });
});

test('input that the command does not read is limited', async () => {
  const command = await open({ inspect: () => Promise.resolve(RUNNING) });
  const data = Buffer.alloc(MAX_WAITING_INPUT_BYTES).toString('base64');
  let refusal: string | undefined;
  // The sockets take some megabytes before bytes wait.
  await waitFor('a refusal', () => {
    // A write that is accepted waits for the command.
    void command.write({ data, end: false }).then((written) => {
      if (written.kind === 'refused') refusal = written.why;
    });
    return refusal !== undefined;
  });
  expect(refusal).toBe('busy');
  expect(command.waitingInputBytes).toBeLessThanOrEqual(MAX_WAITING_INPUT_BYTES);
});

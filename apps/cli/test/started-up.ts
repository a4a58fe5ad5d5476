import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { freePort, startRedis, waitFor } from '@ephemera/test-support';

import { leftBehind } from './left-behind.ts';

export const workspace = join(import.meta.dirname, '../../..');
export const client = join(workspace, 'apps/cli/src/main.ts');

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Launched {
  /** Id of the process and of its process group. */
  readonly pid: number;
  /** All output so far, including standard error. */
  said(): string;
  /** Sends a signal to the process, or to its whole group like a terminal. */
  signal(name: NodeJS.Signals, to?: 'process' | 'group'): void;
  /** Writes to its standard input, like keys typed into a terminal. */
  type(keys: string): void;
  readonly ended: Promise<Finished>;
}

export interface StartedUp {
  readonly publicUrl: string;
  /** All output of `up` so far. */
  said(): string;
  /** Runs `ephemera` with the same settings. */
  ephemera(...args: string[]): Promise<Finished>;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Finished>;
}

/** Creates a namespace with its own Redis and ports, in which `up` can run several times. */
export async function makePlace() {
  const namespace = `up-${randomBytes(4).toString('hex')}`;
  const redis = await startRedis();
  const publicPort = await freePort();
  const environment = {
    ...process.env,
    EPHEMERA_REDIS_URL: redis.url,
    EPHEMERA_NAMESPACE: namespace,
    EPHEMERA_PUBLIC_PORT: String(publicPort),
    EPHEMERA_ADMIN_PORT: String(await freePort()),
    EPHEMERA_DASHBOARD_PORT: String(await freePort()),
    EPHEMERA_WORKER_PORT: String(await freePort()),
  };
  const run = (file: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) => {
    const child = spawn(process.execPath, [file, ...args], {
      cwd: workspace,
      env: { ...environment, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => said.push(chunk));
    const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
    const ended = Promise.all([exit, text(child.stderr)]).then(([code, err]): Finished => ({
      code,
      out: said.join(''),
      err,
    }));
    return { child, said: () => said.join(''), ended };
  };
  const start = async (args: string[], more?: NodeJS.ProcessEnv): Promise<StartedUp> => {
    const { child, said, ended } = run(client, ['up', ...args], more);
    let over: Finished | undefined;
    void ended.then((finished) => (over = finished));
    await waitFor('the start', () => said().includes('Ephemera is up') || over !== undefined);
    if (over) throw new Error(`up ended:\n${over.out}${over.err}`);
    return {
      publicUrl: `http://127.0.0.1:${publicPort}`,
      said,
      ephemera: (...words) => run(client, words, more).ended,
      signal: (name) => void child.kill(name),
      ended,
    };
  };
  return {
    namespace,
    redisUrl: redis.url,
    stateFolder: join(workspace, '.ephemera', namespace),
    environment,
    publicUrl: `http://127.0.0.1:${publicPort}`,
    /** Runs a command in its own process group, without waiting for it. */
    launch(command: readonly string[], more: NodeJS.ProcessEnv = {}): Launched {
      const [file = '', ...args] = command;
      const child = spawn(file, args, {
        cwd: workspace,
        env: { ...environment, ...more },
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      });
      const pid = child.pid ?? 0;
      let [out, err] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
      const ended = new Promise<Finished>((resolve) =>
        child.once('close', (code) => resolve({ code, out, err })),
      );
      return {
        pid,
        said: () => out + err,
        signal: (name, to = 'process') => void process.kill(to === 'group' ? -pid : pid, name),
        type: (keys) => void child.stdin.write(keys),
        ended,
      };
    },
    /** Runs `ephemera` to its end. */
    ephemera: (args: readonly string[], more?: NodeJS.ProcessEnv) => run(client, args, more).ended,
    /** Runs `up`, and waits until everything is ready. */
    up: (...args: string[]) => start(args),
    /** The same with other settings. */
    upWith: (more: NodeJS.ProcessEnv, ...args: string[]) => start(args, more),
    async tidy() {
      const left = leftBehind(namespace);
      // The program takes seconds to start, and nearly every test has removed everything.
      if (left.containers().length + left.networks().length > 0) {
        await run(join(workspace, 'apps/worker/src/remove-all.ts'), []).ended;
      }
      await redis.stop();
      await rm(join(workspace, '.ephemera', namespace), { recursive: true, force: true });
    },
  };
}

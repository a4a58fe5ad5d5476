import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CORES } from '../cores.ts';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, 'wrk.lua');

export interface WrkLoad {
  /** Folder for the list of paths. */
  readonly dir: string;
  readonly port: number;
  /** Asked for in turn. */
  readonly paths: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Looks at the body of every answer; wrk is slower then. */
  readonly check?: boolean;
}

export interface WrkResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  /** Bytes of an answer, head and all, on the average. */
  readonly bytesEach: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

interface Line {
  readonly requests: number;
  readonly micros: number;
  readonly bytes: number;
  readonly errors: number;
  readonly statuses: number;
  readonly bad: number;
  readonly p50: number;
  readonly p99: number;
}

/**
 * One thread of wrk on a core of its own, over kept connections.
 * @throws where an answer was not a 200, was wrong, or a connection failed
 */
export async function wrk(load: WrkLoad): Promise<WrkResult> {
  const { dir, port, paths, connections, seconds, check = false } = load;
  const list = join(dir, 'paths');
  writeFileSync(list, paths.map((path) => `${path}\n`).join(''));
  const args = ['-c', String(CORES.load), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`];
  const url = `http://127.0.0.1:${port}`;
  const script = ['-s', SCRIPT, url, '--', list, check ? 'check' : 'count'];
  const { stdout } = await run('taskset', [...args, ...script]);
  const startQueue = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Line;
  const { requests, micros, bytes, errors, statuses, bad } = startQueue;
  if (requests === 0 || errors + statuses + bad > 0) {
    throw new Error(`not only full, right answers: ${JSON.stringify(startQueue)}`);
  }
  return {
    requests,
    perSecond: requests / (micros / 1e6),
    bytesPerSecond: bytes / (micros / 1e6),
    bytesEach: bytes / requests,
    p50: startQueue.p50,
    p99: startQueue.p99,
  };
}

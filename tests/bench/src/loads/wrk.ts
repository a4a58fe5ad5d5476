import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CORES } from '../cores.ts';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, 'wrk.lua');

export interface WrkLoad {
  /** Folder for the list of paths, one file for each port. */
  readonly dir: string;
  readonly port: number;
  /** Requested in turn. */
  readonly paths: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  /** Checks the body of every response. This makes wrk slower. */
  readonly check?: boolean;
}

export interface WrkResult {
  readonly requests: number;
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  /** Mean size of a response including its headers, bytes. */
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
 * Runs wrk with one thread on its own core over keep-alive connections.
 * @throws Error if a response was not a 200 or was wrong, or if a connection failed
 */
export async function wrk(load: WrkLoad): Promise<WrkResult> {
  const { dir, port, paths, connections, seconds, check = false } = load;
  const list = join(dir, `paths-${port}`);
  writeFileSync(list, paths.map((path) => `${path}\n`).join(''));
  const args = ['-c', String(CORES.load), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`];
  const url = `http://127.0.0.1:${port}`;
  const script = ['-s', SCRIPT, url, '--', list, check ? 'check' : 'count'];
  const { stdout } = await run('taskset', [...args, ...script]);
  const line = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Line;
  const { requests, micros, bytes, errors, statuses, bad } = line;
  if (requests === 0 || errors + statuses + bad > 0) {
    throw new Error(`some responses were wrong: ${JSON.stringify(line)}`);
  }
  return {
    requests,
    perSecond: requests / (micros / 1e6),
    bytesPerSecond: bytes / (micros / 1e6),
    bytesEach: bytes / requests,
    p50: line.p50,
    p99: line.p99,
  };
}

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { surroundings } from './config.ts';

const run = promisify(execFile);

export interface RouteMemory {
  /** Heap bytes per cached route. */
  readonly heap: number;
  /** Bytes of Redis memory per route, including its key. */
  readonly inRedis: number;
  /** Bytes of the value of a route. */
  readonly valueLength: number;
}

/** Measures the route cache of the proxy in a separate process with explicit garbage collection. */
export async function measureRoutes(redisUrl: string, count: number): Promise<RouteMemory> {
  const file = join(import.meta.dirname, 'servers/hold-routes.ts');
  const args = ['--expose-gc', file, redisUrl, String(count)];
  const { stdout } = await run(process.execPath, args, { env: surroundings });
  return JSON.parse(stdout) as RouteMemory;
}

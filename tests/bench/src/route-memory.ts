import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { surroundings } from './config.ts';

const run = promisify(execFile);

export interface RouteMemory {
  /** Bytes of heap that a cached route takes. */
  readonly heap: number;
  /** Bytes of Redis' memory that a route takes, key and all. */
  readonly inRedis: number;
  /** Bytes of the value of one. */
  readonly valueLength: number;
}

/** Fills the product's own route cache in a process of its own, whose garbage can be collected. */
export async function measureRoutes(redisUrl: string, count: number): Promise<RouteMemory> {
  const file = join(import.meta.dirname, 'servers/hold-routes.ts');
  const args = ['--expose-gc', file, redisUrl, String(count)];
  const { stdout } = await run(process.execPath, args, { env: surroundings });
  return JSON.parse(stdout) as RouteMemory;
}

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';
import { SCRIPT_CONSTANTS } from './limits.ts';

export interface Script {
  readonly source: string;
  readonly sha: string;
}

/** Lua files with shared functions. Each may use the files before it. */
const SHARED = [
  'prelude',
  'instance',
  'route',
  'hosts',
  'quota',
  'capacity',
  'placement',
  'pool',
  'idempotency',
  'grants',
  'names',
] as const;

const prelude = [
  ...Object.entries(SCRIPT_CONSTANTS).map(
    ([name, value]) => `local ${name} = ${JSON.stringify(value)}`,
  ),
  ...SHARED.map(read),
].join('\n');

/**
 * Loads a Lua script from `scripts/`, after the constants and the shared functions. The header of
 * each script states KEYS, ARGV and what it returns.
 * @param frees the script frees more memory than it uses, so it also runs when Redis is full
 */
export function loadScript(name: string, frees?: 'frees'): Script {
  const head = frees === undefined ? '' : '#!lua flags=allow-oom\n';
  const source = `${head}${prelude}\n${read(name)}`;
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

function read(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}

/** Runs a script by its hash (EVALSHA). Sends the source only where Redis answers NOSCRIPT. */
export async function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return await redis.eval(script.source, keys.length, ...keys, ...args);
  }
}

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

export interface Script {
  readonly source: string;
  readonly sha: string;
}

const prelude = ['prelude', 'route', 'capacity'].map(read).join('\n');

/**
 * Reads one of the Lua scripts beside this file; its head tells KEYS, ARGV and what it returns.
 * `frees`: it gives more memory back than it takes, and runs in a Redis that has none left too.
 */
export function loadScript(name: string, frees?: 'frees'): Script {
  const head = frees === undefined ? '' : '#!lua flags=allow-oom\n';
  const source = `${head}${prelude}\n${read(name)}`;
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

function read(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}

/** Runs a script by its hash, and sends the text only to a Redis that has not seen it yet. */
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

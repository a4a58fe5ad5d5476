import type { Options } from '../options.ts';
import { print } from '@ephemera/test-support';
import { fuzz } from './fuzz.ts';

/**
 * Runs `--count` cases from clients and half as many from containers, starting at `--from`.
 * `--side` runs one side only, `--case` repeats a single case on each.
 */
export async function runFuzz(options: Options): Promise<boolean> {
  const seed = options.seed;
  const only = options.case === undefined ? undefined : Number(options.case);
  const from = only ?? options.from;
  const count = only === undefined ? (options.count ?? 1_000_000) : 1;
  let clean = true;
  for (const side of ['client', 'container'] as const) {
    if (options.side !== undefined && options.side !== side) continue;
    const cases = side === 'client' ? count : Math.ceil(count / 2);
    const result = await fuzz({ side, seed, cases, from, onProgress: print });
    print(JSON.stringify(result, undefined, 2));
    clean &&= result.findingsInAll === 0;
  }
  return clean;
}

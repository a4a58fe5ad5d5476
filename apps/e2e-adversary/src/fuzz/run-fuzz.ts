import type { Options } from '../options.ts';
import { print } from '../report.ts';
import { fuzz } from './fuzz.ts';

/** Half of the cases come from clients and half from containers; `--case` runs one of each again. */
export async function runFuzz(options: Options): Promise<boolean> {
  const seed = Number(options.seed ?? 1);
  const only = options.case === undefined ? undefined : Number(options.case);
  const cases = only === undefined ? Number(options.count ?? 1_000_000) / 2 : 1;
  let clean = true;
  for (const side of ['client', 'container'] as const) {
    const result = await fuzz({ side, seed, cases, from: only ?? 0, onProgress: print });
    print(JSON.stringify(result, undefined, 2));
    clean &&= result.findingsInAll === 0;
  }
  return clean;
}

import type { Options } from '../options.ts';
import { print } from '../report.ts';
import { aborts } from './aborts.ts';
import { silentClients, SILENCES } from './silent-clients.ts';
import { attacks, slowClients } from './slow-clients.ts';
import type { Attack } from './slow-clients.ts';

/** How late the last of many may be cut: 15 s for heads, 60 s for the rest, and some slack. */
const CUT_WITHIN = { head: 20, body: 70, reading: 70 } as const;

export async function runSilent(options: Options): Promise<boolean> {
  let isWell = true;
  for (const kind of SILENCES) {
    const result = await silentClients(kind, Number(options.count ?? 1_000));
    print(JSON.stringify(result));
    isWell &&= result.lastCut < CUT_WITHIN[kind];
  }
  return isWell;
}

/** Measures: on a machine that does other things at the same time a single round means little. */
export async function runSlow(options: Options): Promise<boolean> {
  const connections = Number(options.count ?? 1_000);
  const measure = { connections, rounds: 4, seconds: 8 };
  let isWell = true;
  for (const attack of options.case === undefined ? attacks : [options.case as Attack]) {
    const result = await slowClients(attack, measure);
    print(JSON.stringify(result, undefined, 2));
    // What they notice while connections open is told, and depends on how the tool opens them.
    isWell &&= result.held <= 2 && result.most >= 0.9 * connections;
    isWell &&= Object.keys(result.failed).length === 0;
  }
  return isWell;
}

export async function runAborts(options: Options): Promise<boolean> {
  const result = await aborts(Number(options.count ?? 10_000));
  print(JSON.stringify(result, undefined, 2));
  return result.heapAfter < result.heapBefore * 1.1 && result.upstreamLeft === 0;
}

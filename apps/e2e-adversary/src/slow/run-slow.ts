import type { Options } from '../options.ts';
import { print } from '../report.ts';
import { aborts } from './aborts.ts';
import { silentClients, SILENCES } from './silent-clients.ts';
import { attacks, slowClients } from './slow-clients.ts';

/** How late the last of many may be cut: 15 s for heads, 60 s for the rest, and some slack. */
const CUT_WITHIN = { head: 20, body: 70, reading: 70 } as const;

export async function runSlow(options: Options): Promise<boolean> {
  const connections = Number(options.count ?? 1_000);
  let isWell = true;
  for (const kind of SILENCES) {
    const result = await silentClients(kind, connections);
    print(JSON.stringify(result));
    isWell &&= result.lastCut < CUT_WITHIN[kind];
  }
  for (const attack of attacks) {
    const result = await slowClients(attack, connections, 30);
    print(JSON.stringify(result, undefined, 2));
    isWell &&= result.others.during.p99 <= 2 * result.others.before.p99;
    isWell &&= Object.keys(result.failed).length === 0;
  }
  return isWell;
}

export async function runAborts(options: Options): Promise<boolean> {
  const result = await aborts(Number(options.count ?? 10_000));
  print(JSON.stringify(result, undefined, 2));
  return result.heapAfter < result.heapBefore * 1.1 && result.upstreamLeft === 0;
}

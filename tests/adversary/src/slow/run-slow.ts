import type { Options } from '../options.ts';
import { print, table } from '@ephemera/test-support';
import { aborts } from './aborts.ts';
import { idleClients } from './idle-clients.ts';
import { silentClients, SILENCES } from './silent-clients.ts';
import { attacks, slowClients } from './slow-clients.ts';
import type { Attack, SlowResult } from './slow-clients.ts';
import type { ProbeLatency } from './probe-load.ts';
import { type Through, TARGETS } from './targets.ts';

/**
 * Maximum time until the last of many clients is disconnected, s: 15 for heads, 60 for the rest,
 * plus slack.
 */
const MAX_CUT_MS = { head: 20, body: 70, reading: 70 } as const;

export async function runSilent(options: Options): Promise<boolean> {
  let isWell = true;
  for (const kind of SILENCES) {
    const result = await silentClients(kind, options.count ?? 1_000);
    print(JSON.stringify(result));
    isWell &&= result.lastCut < MAX_CUT_MS[kind];
  }
  return isWell;
}

/** By default one address opens more connections than a process usually has descriptors. */
export async function runConnections(options: Options): Promise<boolean> {
  const result = await idleClients(options.count ?? 20_600);
  print(JSON.stringify(result, undefined, 2));
  const { visitor, earlier, readiness } = result;
  return [visitor, earlier, readiness].every((status) => status === 200);
}

/**
 * Compares the latency of other clients with and without an attack, in several rounds, because a
 * single round means little on a busy machine. The latency may at most double, unless haproxy,
 * nginx or an attack that bypasses the proxy cause more.
 */
export async function runSlow(options: Options): Promise<boolean> {
  const connections = options.count ?? 1_000;
  let isWell = true;
  for (const attack of options.case === undefined ? attacks : [options.case as Attack]) {
    const held: Partial<Record<Through, number>> = {};
    const rows: string[][] = [];
    for (const through of Object.keys(TARGETS) as Through[]) {
      const result = await slowClients(attack, { connections, rounds: 4, seconds: 8, through });
      held[through] = result.held;
      rows.push(rowOf(result));
      if (through !== 'ephemera') continue;
      isWell &&= result.max >= 0.9 * connections && Object.keys(result.failed).length === 0;
    }
    print(table(HEAD, rows));
    const { ephemera = Number.NaN, machine = 0, haproxy = 0, nginx = 0 } = held;
    isWell &&= ephemera <= Math.max(2, machine, haproxy, nginx);
  }
  return isWell;
}

const HEAD = [
  'attack, through',
  'most open, left',
  'opening: p99 without, with',
  'times',
  'held: p99 without, with',
  'times',
  'failed',
];

function rowOf({ attack, through, max, left, failed, ...result }: SlowResult): string[] {
  const part = (name: 'opening' | 'held') => {
    const range = (rounds: readonly ProbeLatency[]) => {
      const all = rounds.map((round) => round[name].p99).sort((a, b) => a - b);
      return `${all[0]?.toFixed(1)}–${all.at(-1)?.toFixed(1)}`;
    };
    return [`${range(result.without)}, ${range(result.during)} ms`, result[name].toFixed(1)];
  };
  const open = `${max}, ${left}`;
  return [
    `${attack}, ${through}`,
    open,
    ...part('opening'),
    ...part('held'),
    JSON.stringify(failed),
  ];
}

export async function runAborts(options: Options): Promise<boolean> {
  const result = await aborts(options.count ?? 10_000);
  print(JSON.stringify(result, undefined, 2));
  return result.heapAfter < result.heapBefore * 1.1 && result.upstreamLeft === 0;
}

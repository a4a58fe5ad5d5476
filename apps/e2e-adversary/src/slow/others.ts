/**
 * The others as a process of their own, which does nothing else: asks at a steady rate, prints
 * `begun` once its code is warm, and what it measured from then on at its end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, steadyLoad } from '../restart/load.ts';

export interface OthersOptions {
  readonly port: number;
  readonly path: string;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Durations in ms. */
export interface Window {
  readonly p50: number;
  readonly p99: number;
  readonly failed: Readonly<Record<string, number>>;
}

/** The first answers come from code that is not compiled yet. */
const WARM_UP = 2_000;

const { seconds, ...options } = JSON.parse(process.argv[2] ?? '') as OthersOptions;
await loadFor(WARM_UP);
process.stdout.write('begun\n');
const { durations, failed } = await loadFor(seconds * 1_000);
const [p50, p99] = [percentile(durations, 0.5), percentile(durations, 0.99)];
process.stdout.write(`${JSON.stringify({ p50, p99, failed } satisfies Window)}\n`);

async function loadFor(ms: number) {
  const stop = new AbortController();
  const load = steadyLoad(options, stop.signal);
  await sleep(ms);
  stop.abort();
  return await load;
}

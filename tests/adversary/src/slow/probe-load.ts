/**
 * The load of other clients, in a separate process. Sends requests at a steady rate, prints `begun`
 * after the warm-up, and at the end prints the latencies in two parts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '@ephemera/test-support';
import { steadyLoad } from '../restart/load.ts';

export interface ProbeLoadOptions {
  readonly port: number;
  readonly path: string;
  readonly perSecond: number;
  /** How long each part takes. */
  readonly seconds: number;
}

/** Latency of other clients while an attack opens its connections, and while it holds them. */
export interface ProbeLatency {
  readonly opening: Window;
  readonly held: Window;
}

/** Durations in ms. */
export interface Window {
  readonly p50: number;
  readonly p99: number;
  readonly failed: Readonly<Record<string, number>>;
}

/** The first responses come from code that is not compiled yet. */
const WARM_UP = 2_000;
/** Clients that connect last are still being served when the opening phase ends. */
const SETTLING = 3_000;

const { seconds, ...options } = JSON.parse(process.argv[2] ?? '') as ProbeLoadOptions;
await loadFor(WARM_UP);
process.stdout.write('begun\n');
const opening = await measure();
await loadFor(SETTLING);
const probed: ProbeLatency = { opening, held: await measure() };
process.stdout.write(`${JSON.stringify(probed)}\n`);

async function measure(): Promise<Window> {
  const { durations, failed } = await loadFor(seconds * 1_000);
  return { p50: percentile(durations, 0.5), p99: percentile(durations, 0.99), failed };
}

async function loadFor(ms: number) {
  const stop = new AbortController();
  const load = steadyLoad(options, stop.signal);
  await sleep(ms);
  stop.abort();
  return await load;
}

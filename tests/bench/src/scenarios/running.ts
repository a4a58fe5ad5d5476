import type { Bench } from '../bench.ts';
import type { Contender, Testbed, Running } from '../contenders/contender.ts';
import type { Instance } from '../instances.ts';
import type { Process } from '../processes.ts';
import type { Figures } from '../rounds.ts';

/** A running contender with its name. */
export type Started = Running & { readonly name: string };

/** Starts contenders. `stack` stops them in reverse order. */
export async function startAll(
  bench: Bench,
  instances: readonly Instance[],
  contenders: readonly Contender[],
  stack: AsyncDisposableStack,
): Promise<Started[]> {
  const testbed: Testbed = { dir: bench.dir, redisUrl: bench.redisUrl, instances };
  const started: Started[] = [];
  for (const { name, start } of contenders) {
    const running = await start(testbed);
    stack.use(running.process);
    started.push({ name, ...running });
  }
  return started;
}

/** Runs a load and measures the CPU time of the proxy. */
export async function underLoad<T>(
  processes: readonly Process[],
  load: () => Promise<T>,
): Promise<{ result: T; cpu: number; busy: number }> {
  const cpuOf = () => processes.reduce((sum, process) => sum + process.cpu(), 0);
  const [cpuBefore, before] = [cpuOf(), performance.now()];
  const result = await load();
  const cpu = cpuOf() - cpuBefore;
  return { result, cpu, busy: cpu / ((performance.now() - before) / 1000) };
}

/** CPU time per unit of work in µs, and utilization of the core in percent. */
export function costs({ cpu, busy }: { cpu: number; busy: number }, units: number): Figures {
  return { 'CPU µs each': (cpu * 1e6) / units, 'core busy %': busy * 100 };
}

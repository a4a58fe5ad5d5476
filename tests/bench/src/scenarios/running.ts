import type { Bench } from '../bench.ts';
import type { Contender, Testbed, Running } from '../contenders/contender.ts';
import type { Instance } from '../instances.ts';
import type { Process } from '../processes.ts';
import type { Figures } from '../rounds.ts';

/** A contender that is up, by its name. */
export type Started = Running & { readonly name: string };

/** Starts contenders that `stack` ends, the first to start being the last to end. */
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

/** What a load came to, with the CPU time that the proxy took for it. */
export async function underLoad<T>(
  processes: readonly Process[],
  load: () => Promise<T>,
): Promise<{ result: T; cpu: number; busy: number }> {
  const cpuOf = () => processes.reduce((sum, each) => sum + each.cpu(), 0);
  const [cpuBefore, before] = [cpuOf(), performance.now()];
  const result = await load();
  const cpu = cpuOf() - cpuBefore;
  return { result, cpu, busy: cpu / ((performance.now() - before) / 1000) };
}

/** CPU time for each unit of work, µs, and how busy it kept its core, percent. */
export function costs({ cpu, busy }: { cpu: number; busy: number }, units: number): Figures {
  return { 'CPU µs each': (cpu * 1e6) / units, 'core busy %': busy * 100 };
}

/** The suites as programs: `node apps/e2e-adversary/src/main.ts SUITE [--count N] [--seed N] …`. */
import { parseArgs } from 'node:util';
import { runChurn, runContainers, runFences } from './churn/run-churn.ts';
import { runRedisUnavailable } from './redis-unavailable.ts';
import { runIdle, runRestart } from './restart/run-restart.ts';
import { runAborts, runSilent, runSlow } from './slow/run-slow.ts';
import { runCompare } from './compare/run-compare.ts';
import { runFuzz } from './fuzz/run-fuzz.ts';
import { runHogs } from './hogs/run-hogs.ts';
import type { Options } from './options.ts';

const suites: Record<string, (options: Options) => Promise<boolean>> = {
  churn: runChurn,
  containers: runContainers,
  fences: runFences,
  fuzz: runFuzz,
  hogs: runHogs,
  compare: runCompare,
  away: runRedisUnavailable,
  silent: runSilent,
  slow: runSlow,
  aborts: runAborts,
  restart: runRestart,
  idle: runIdle,
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    case: { type: 'string' },
    from: { type: 'string' },
    side: { type: 'string' },
  },
});
// What a run has started ends with it, also where it is told to stop.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
const chosen = positionals.length > 0 ? positionals : Object.keys(suites);
for (const name of chosen) {
  const suite = suites[name];
  if (!suite) throw new Error(`there is no ${name}; there are ${Object.keys(suites).join(', ')}`);
  process.stdout.write(`\n${name}\n`);
  if (!(await suite(values))) process.exitCode = 1;
}
// Nothing that a suite has left open may keep the command from ending.
process.exit();

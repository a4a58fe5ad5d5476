/** The command `npm run test:adversary`. */
import { exitWithUsage, prepareMachine, print, readCommandLine } from '@ephemera/test-support';
import { runChurn, runContainers, runFences } from './churn/run-churn.ts';
import { runCompare } from './compare/run-compare.ts';
import { runFuzz } from './fuzz/run-fuzz.ts';
import { runEarly } from './early/run-early.ts';
import { HOGS } from './hogs/hogs.ts';
import { runHogs } from './hogs/run-hogs.ts';
import type { Options } from './options.ts';
import { runRedisUnavailable } from './redis-unavailable.ts';
import { runIdle, runRestart } from './restart/run-restart.ts';
import { runAborts, runConnections, runSilent, runSlow } from './slow/run-slow.ts';
import { attacks } from './slow/slow-clients.ts';

interface Suite {
  readonly help: string;
  /** Resolves to whether the suite passed. */
  readonly run: (options: Options) => Promise<boolean>;
  /** The names that `--case` takes. */
  readonly cases?: readonly string[];
}

const SUITES: Readonly<Record<string, Suite>> = {
  churn: { help: 'Instances are replaced at used addresses under requests.', run: runChurn },
  containers: { help: 'The same with real containers, and without fences.', run: runContainers },
  fences: { help: 'Short churns, each with some fences removed.', run: runFences },
  fuzz: { help: 'Mutated requests and responses; --case takes a number.', run: runFuzz },
  hogs: { help: 'Instances use all their resources.', run: runHogs, cases: Object.keys(HOGS) },
  compare: { help: 'Requests that HAProxy and nginx refuse.', run: runCompare },
  away: { help: 'Redis is unavailable for --count seconds.', run: runRedisUnavailable },
  silent: { help: 'Clients that stop in the middle.', run: runSilent },
  slow: { help: 'Slow clients beside other clients.', run: runSlow, cases: attacks },
  aborts: { help: 'Clients that disconnect at various points.', run: runAborts },
  connections: { help: 'One address opens idle connections.', run: runConnections },
  early: { help: 'Responses to uploads that are still being sent.', run: runEarly },
  restart: { help: 'Rolling restarts behind a load balancer.', run: runRestart },
  idle: { help: 'Requests on connections that were idle.', run: runIdle },
};

const { names, values } = readCommandLine({
  command: 'npm run test:adversary --',
  summary: 'Attacks running proxies and workers. Exits with 1 where a suite fails.',
  scenarios: Object.fromEntries(Object.entries(SUITES).map(([name, { help }]) => [name, help])),
  options: {
    count: {
      kind: 'number',
      help: 'Responses, cases, connections, uploads or restarts of a suite.',
    },
    seed: { kind: 'number', help: 'Seed of the random choices.', default: 1 },
    minutes: { kind: 'number', help: 'The longest time of a churn.', default: 40 },
    case: { kind: 'text', help: 'The only case to run, of fuzz, hogs or slow.' },
    from: { kind: 'number', help: 'The first case of fuzz.', default: 0 },
    side: {
      kind: 'choice',
      help: 'The only side whose bytes fuzz changes.',
      of: ['client', 'container'],
    },
  },
});
for (const name of names) checkCase(name, values.case);
prepareMachine();
// The processes and containers of a run end with this process, also if a signal ends it.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1));
for (const name of names) {
  print(`\n${name}`);
  if (!(await SUITES[name]?.run(values))) process.exitCode = 1;
}
// A handle that a suite has left open must not keep the command running.
process.exit();

function checkCase(name: string, wanted: string | undefined): void {
  if (wanted === undefined) return;
  const { cases } = SUITES[name] ?? {};
  if (cases?.includes(wanted)) return;
  if (name === 'fuzz' && /^\d+$/.test(wanted)) return;
  const allowed = name === 'fuzz' ? 'a number' : (cases?.join(', ') ?? 'none');
  exitWithUsage(`${name} has no case ${wanted}. Its cases are: ${allowed}.`);
}

/** The scenarios as a program: `node apps/e2e-faults/src/main.ts [SCENARIO…] [--seed N] [--runs N]`. */
import { parseArgs } from 'node:util';
import { print } from '@ephemera/test-support';
import { stopOnSignals } from './open.ts';
import type { Options } from './options.ts';
import { badContainers } from './scenarios/bad-containers.ts';
import { clocks } from './scenarios/clocks.ts';
import { dueAtOnce } from './scenarios/due-at-once.ts';
import { routesDue } from './scenarios/routes-due.ts';
import { bridgeFull } from './scenarios/bridge-full.ts';
import { daemonFaults } from './scenarios/daemon-faults.ts';
import { dockerFaults } from './scenarios/docker-faults.ts';
import { redisFaults } from './scenarios/redis-faults.ts';
import { proxyKilled } from './scenarios/proxy-killed.ts';
import { twice } from './scenarios/twice.ts';
import { workerFrozen } from './scenarios/worker-frozen.ts';
import { workerKilled } from './scenarios/worker-killed.ts';

/** Each tells whether everything held. */
const scenarios: Record<string, (options: Options) => Promise<boolean>> = {
  'worker-killed': workerKilled,
  redis: redisFaults,
  docker: dockerFaults,
  daemon: daemonFaults,
  'bridge-full': bridgeFull,
  'bad-containers': badContainers,
  clocks,
  'due-at-once': dueAtOnce,
  'routes-due': routesDue,
  'worker-frozen': workerFrozen,
  'proxy-killed': proxyKilled,
  twice,
};

/** Those that start the processes whose guards `--without` takes away. */
const TAKES_GUARDS = new Set(['worker-killed', 'worker-frozen', 'proxy-killed', 'twice']);

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string' },
    step: { type: 'string', default: '' },
    without: { type: 'string', default: '' },
  },
});
const options: Options = {
  seed: Number(values.seed),
  runs: values.runs === undefined ? undefined : Number(values.runs),
  steps: values.step.split(',').filter(Boolean),
  without: values.without.split(',').filter(Boolean),
};
stopOnSignals();
const chosen = positionals.length > 0 ? positionals : Object.keys(scenarios);
for (const name of chosen) {
  const scenario = scenarios[name];
  if (!scenario)
    throw new Error(`there is no ${name}; there are ${Object.keys(scenarios).join(', ')}`);
  if (options.without.length > 0 && !TAKES_GUARDS.has(name))
    throw new Error(`${name} takes no guard away; ${[...TAKES_GUARDS].join(', ')} do`);
  print(`\n${name}, seed ${options.seed}`);
  const held = await scenario(options);
  print(held ? `${name}: every invariant held` : `${name}: NOT every invariant held`);
  if (!held) process.exitCode = 1;
}
// Nothing that a scenario has left open may keep the command from ending.
process.exit();

/** The command `npm run test:faults`. */
import { exitWithUsage, prepareMachine, print, readCommandLine } from '@ephemera/test-support';
import { PROXY_STEPS, WORKER_STEPS } from './injection/fault-points.ts';
import { GUARDS } from './injection/guards.ts';
import { stopOnSignals } from './open.ts';
import type { Options } from './options.ts';
import { badContainers } from './scenarios/bad-containers.ts';
import { bridgeFull } from './scenarios/bridge-full.ts';
import { clocks } from './scenarios/clocks.ts';
import { DAEMON_FAULTS, daemonFaults } from './scenarios/daemon-faults.ts';
import { DOCKER_FAULTS, dockerFaults } from './scenarios/docker-faults.ts';
import { dueAtOnce } from './scenarios/due-at-once.ts';
import { guards } from './scenarios/guards.ts';
import { proxyKilled } from './scenarios/proxy-killed.ts';
import { REDIS_FAULTS, redisFaults } from './scenarios/redis-faults.ts';
import { routesDue } from './scenarios/routes-due.ts';
import { twice } from './scenarios/twice.ts';
import { workerFrozen } from './scenarios/worker-frozen.ts';
import { workerKilled } from './scenarios/worker-killed.ts';

interface Scenario {
  readonly help: string;
  /** Resolves to whether every fault was injected and every invariant held. */
  readonly run: (options: Options) => Promise<boolean>;
  /** The names that `--step` accepts. */
  readonly steps?: readonly string[];
  /** Whether `--without` applies to it. */
  readonly takesGuards?: boolean;
}

const workerSteps = Object.keys(WORKER_STEPS);

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'worker-killed': {
    help: 'SIGKILL of a worker at each of its steps.',
    ...{ run: workerKilled, steps: workerSteps, takesGuards: true },
  },
  redis: { help: 'Redis fails or loses data.', run: redisFaults, steps: REDIS_FAULTS },
  docker: {
    help: 'Calls to the Docker daemon fail.',
    ...{ run: dockerFaults, steps: Object.keys(DOCKER_FAULTS) },
  },
  daemon: {
    help: 'A Docker daemon restarts, is killed, or has no disk space.',
    ...{ run: daemonFaults, steps: DAEMON_FAULTS },
  },
  'bridge-full': { help: 'All ports of a bridge are in use.', run: bridgeFull },
  'bad-containers': { help: 'Containers that exit, hang or use all memory.', run: badContainers },
  clocks: { help: 'Clocks that are wrong by an hour.', run: clocks },
  'due-at-once': { help: '200 containers are due at one instant.', run: dueAtOnce },
  'routes-due': { help: '10,000 routes are due, and no worker runs.', run: routesDue },
  'worker-frozen': {
    help: 'SIGSTOP of a worker at each of its steps, then SIGCONT.',
    ...{ run: workerFrozen, steps: workerSteps, takesGuards: true },
  },
  'proxy-killed': {
    help: 'SIGKILL of a proxy at each of its steps.',
    ...{ run: proxyKilled, steps: Object.keys(PROXY_STEPS), takesGuards: true },
  },
  twice: { help: 'Every job runs twice.', run: twice, takesGuards: true },
  guards: {
    help: 'Each guard removed: the fault that it repairs must then be detected.',
    ...{ run: guards, steps: Object.keys(GUARDS) },
  },
};

const allSteps = new Set(Object.values(SCENARIOS).flatMap(({ steps = [] }) => steps));

const { names, values } = readCommandLine({
  command: 'npm run test:faults --',
  summary:
    'Injects faults and checks every invariant. Exits with 1 if one is broken, or if no process ' +
    'reached a step.',
  scenarios: Object.fromEntries(Object.entries(SCENARIOS).map(([name, { help }]) => [name, help])),
  options: {
    seed: { kind: 'number', help: 'Seed of the random choices.', default: 1 },
    runs: { kind: 'number', help: 'Runs per step; each scenario has its own default.' },
    step: { kind: 'list', help: 'Inject faults only at these steps.', of: [...allSteps] },
    without: {
      kind: 'list',
      help: 'Guards to remove from the processes, to verify that the faults are detected.',
      of: Object.keys(GUARDS),
    },
  },
});
for (const name of names) checkScenario(name);
const { seed, runs, step: steps, without } = values;
prepareMachine();
stopOnSignals();
for (const name of names) {
  print(`\n${name}, seed ${seed}`);
  const held = await SCENARIOS[name]?.run({ seed, runs, steps, without });
  print(held ? `${name}: every invariant held` : `${name}: failed; the lines above say where`);
  if (!held) process.exitCode = 1;
}
// Handles that a scenario left open must not delay the exit.
process.exit();

function checkScenario(name: string): void {
  const { steps = [], takesGuards = false } = SCENARIOS[name] ?? {};
  const unknown = values.step.find((step) => !steps.includes(step));
  if (unknown !== undefined) {
    exitWithUsage(`${name} has no step ${unknown}. Its steps are: ${steps.join('; ') || 'none'}.`);
  }
  if (values.without.length > 0 && !takesGuards) {
    const others = Object.entries(SCENARIOS).filter(([, scenario]) => scenario.takesGuards);
    const list = others.map(([text]) => text).join(', ');
    exitWithUsage(`${name} cannot remove guards. The scenarios that can are: ${list}.`);
  }
}

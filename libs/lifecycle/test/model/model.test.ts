import { dueAt, isServing } from '@ephemera/domain';
import { describe, expect, test } from 'vitest';
import { kill } from '../../src/kill.ts';
import { reconcile } from '../../src/reconcile.ts';
import { spawn } from '../../src/spawn.ts';
import { VERBS } from './actors.ts';
import type { Verbs } from './actors.ts';
import { explore, exploreRandomly } from './explore.ts';
import { SCENARIOS, runOf } from './scenarios.ts';
import type { World } from './world.ts';

// Runs the real use cases in every order of their calls.

describe('no order of calls breaks a rule', () => {
  test.each(Object.entries(SCENARIOS))('%s', async (_, scenario) => {
    expect(await explore(runOf(scenario), scenario.interruptions)).toMatchObject({
      broken: undefined,
    });
    expect(await exploreRandomly(runOf(scenario), 200, 7)).toMatchObject({ broken: undefined });
  });
});

interface Rule {
  readonly without: string;
  readonly scenario: keyof typeof SCENARIOS;
  readonly breaks: RegExp;
  readonly verbs?: Partial<Verbs>;
  readonly change?: (world: World) => void;
}

// Checks that the model can find errors: each entry removes one rule from the real code.
const RULES: readonly Rule[] = [
  {
    without: 'reading the lease again when a kill job fires',
    scenario: 'two renewals, and the worker dies on the kill',
    breaks: /before its deadline/,
    verbs: { kill: (ports, id) => kill(ports, id, 'ttl') },
  },
  {
    without: 'intent before action',
    scenario: 'two hosts start the same instance, one dies, and a client ends it',
    breaks: /without an assignment or a kill job/,
    verbs: {
      async spawn(ports, id, generation) {
        const { instances, containers, addresses } = ports;
        const instance = await instances.get(id);
        const reportProgress = () => Promise.resolve(true);
        if (instance) await containers.start(instance, () => addresses.next(), reportProgress);
        return spawn(ports, id, generation);
      },
    },
  },
  {
    without: 'removing the route before the container',
    scenario: 'a renewal meets the deadline, its kill job and a reconciliation',
    breaks: /removed under an instance/,
    verbs: {
      async kill(ports, id, reason, message) {
        const instance = await ports.instances.get(id);
        const isDue = instance && dueAt(instance) <= (await ports.instances.now());
        if (isDue) await ports.containers.removeInstance(id, 0);
        return kill(ports, id, reason, message);
      },
    },
  },
  {
    without: 'a kill job for each generation',
    scenario: 'a claim meets the end of the pool age',
    breaks: /handed out without a kill job/,
    change({ killJobs }) {
      const { schedule, cancel } = killJobs;
      killJobs.schedule = (instance, delay) => schedule({ ...instance, generation: 1 }, delay);
      killJobs.cancel = (instance) => cancel({ ...instance, supersedes: 1 });
    },
  },
  {
    without: 'the check of the host before an instance becomes ready',
    scenario: 'the store loses the assignment to another host',
    breaks: /before its deadline|without a container|lost/,
    change({ store }) {
      const { markReady } = store;
      store.markReady = (id, generation, address) => markReady(id, generation, address);
    },
  },
  {
    without: 'the check which container has exited',
    scenario: 'the store loses the assignment to another host, and exits are reported',
    breaks: /exit of another container/,
    verbs: {
      async endExitedInstance(ports, { id }) {
        const instance = await ports.instances.get(id);
        if (!instance || !isServing(instance.state)) return { kind: 'absent' };
        return kill(ports, id, 'exited');
      },
    },
  },
  {
    without: 'the check for a resume after a pause',
    scenario: 'a deadline that pauses meets a resume',
    breaks: /container of a ready instance is paused/,
    verbs: {
      async kill(ports, id, reason) {
        const outcome = await ports.instances.startDraining(id, reason);
        if (outcome.kind !== 'paused') return kill(ports, id, reason);
        await ports.containers.pauseContainer(id);
        return { kind: 'leased', remaining: outcome.remaining };
      },
    },
  },
  {
    without: 'the repair of paused containers',
    scenario: 'a resume overtakes a pause, which a crash interrupts',
    breaks: /instance is paused/,
    verbs: {
      reconcile(ports) {
        const { containers } = ports;
        const list = async () =>
          (await containers.list()).map((container) => ({ ...container, paused: false }));
        return reconcile({ ...ports, containers: { ...containers, list } });
      },
    },
  },
];

describe('an order is found that breaks a rule', () => {
  test.each(RULES)('without $without', async ({ scenario: name, verbs, change, breaks }) => {
    const scenario = SCENARIOS[name];
    if (!scenario) throw new Error(`there is no scenario ${name}`);
    const run = runOf(scenario, { ...VERBS, ...verbs }, change);
    const { broken } = await explore(run, scenario.interruptions);
    expect(broken?.rule).toMatch(breaks);
  });
});

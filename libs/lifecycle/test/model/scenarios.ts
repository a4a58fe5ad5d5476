import { POOL, POOL_AGE, TTL, VERBS, createActors, draft } from './actors.ts';
import type { Actors, Verbs } from './actors.ts';
import type { Broken, Run } from './explore.ts';
import { Turns } from './turns.ts';
import type { Actor } from './turns.ts';
import { HOSTS, openWorld } from './world.ts';
import type { World } from './world.ts';

/** An initial state and concurrent actors. */
export interface Scenario {
  readonly given: 'pending' | 'ready' | 'warm';
  /** Whether the template pauses the instance at its deadline. */
  readonly pauses?: boolean;
  /** Without crashes, the pause rule must hold before any reconciliation. */
  readonly withoutReconciliation?: boolean;
  /** Maximum number of preemptions. Each further one multiplies the orders by about ten. */
  readonly interruptions: number;
  readonly actors: (actors: Actors, made: { id: string; generation: number }) => Actor[];
}

const ID = 'a1';

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'two hosts start the same instance, one dies, and a client ends it': {
    given: 'pending',
    interruptions: 1,
    actors: (actors, { id, generation }) => [
      actors.spawn('a', id, generation),
      actors.spawn('b', id, generation),
      actors.crash('a'),
      actors.requestKill(id),
    ],
  },
  'a start meets its deadline, its kill job and a reconciliation': {
    given: 'pending',
    interruptions: 2,
    actors: (actors, { id, generation }) => [
      actors.spawn('a', id, generation),
      actors.wait(TTL),
      actors.fire('a'),
      actors.reconcile('a'),
    ],
  },
  'the store loses its data during a start': {
    given: 'pending',
    interruptions: 2,
    actors: (actors, { id, generation }) => [
      actors.loss(),
      actors.spawn('a', id, generation),
      actors.reconcile('a'),
      actors.wait(6_000),
    ],
  },
  'the store loses the assignment to another host': {
    given: 'pending',
    interruptions: 2,
    actors: (actors, { id, generation }) => [
      actors.loss(),
      actors.spawn('a', id, generation),
      actors.spawn('b', id, generation),
    ],
  },
  'the store loses the assignment to another host, and exits are reported': {
    given: 'pending',
    interruptions: 1,
    actors: (actors, { id, generation }) => [
      actors.loss(),
      actors.spawn('a', id, generation),
      actors.spawn('b', id, generation),
      actors.reconcile('a'),
      actors.reportExits('a'),
    ],
  },
  'a renewal meets the deadline, its kill job and a reconciliation': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.renew(id, TTL),
      actors.wait(TTL),
      actors.fire('a'),
      actors.reconcile('a'),
    ],
  },
  'two renewals, and the worker dies on the kill': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.renew(id, TTL),
      actors.renew(id, 2 * TTL),
      actors.wait(TTL),
      actors.fire('a'),
      actors.crash('a'),
    ],
  },
  'a request to kill meets the deadline, a crash and a reconciliation': {
    given: 'ready',
    interruptions: 1,
    actors: (actors, { id }) => [
      actors.requestKill(id),
      actors.wait(TTL),
      actors.fire('a'),
      actors.crash('a'),
      actors.reconcile('a'),
    ],
  },
  'a resume overtakes a pause, which a crash interrupts': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.pause('a', id),
      actors.resume('a', id),
      actors.crash('a'),
      actors.reconcile('a'),
    ],
  },
  'a deadline that pauses meets a resume': {
    given: 'ready',
    pauses: true,
    withoutReconciliation: true,
    interruptions: 2,
    actors: (actors, { id }) => [actors.wait(TTL), actors.fire('a'), actors.resume('a', id)],
  },
  'a pause meets the deadline and a renewal': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.pause('a', id),
      actors.renew(id, TTL),
      actors.wait(TTL),
      actors.fire('a'),
    ],
  },
  'a claim meets the end of the pool age': {
    given: 'warm',
    interruptions: 2,
    actors: (actors) => [
      actors.claimWarm(),
      actors.wait(POOL_AGE),
      actors.fire('a'),
      actors.reconcile('a'),
    ],
  },
  'two claims of the same instance, and its container exits': {
    given: 'warm',
    interruptions: 1,
    actors: (actors, { id }) => [
      actors.claimWarm(),
      actors.claimWarm(),
      actors.exit('a', id),
      actors.wait(6_000),
      actors.reconcile('a'),
    ],
  },
  'the store loses a claim': {
    given: 'warm',
    interruptions: 2,
    actors: (actors) => [actors.loss(), actors.claimWarm(), actors.wait(TTL), actors.fire('a')],
  },
  'a container exits during a renewal and a kill': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.exit('a', id),
      actors.renew(id, TTL),
      actors.reconcile('a'),
      actors.requestKill(id),
    ],
  },
  'a container exits, and the exit is reported during a reconciliation': {
    given: 'ready',
    interruptions: 2,
    actors: (actors, { id }) => [
      actors.exit('a', id),
      actors.reportExits('a'),
      actors.reconcile('a'),
    ],
  },
};

/** One run of a scenario: all actors finish, then the repairs run, then every deadline passes. */
export function runOf(
  scenario: Scenario,
  verbs: Verbs = VERBS,
  change: (world: World) => void = () => undefined,
): Run {
  return async (choose) => {
    const world = openWorld();
    change(world);
    const turns = new Turns();
    const made = await setUp(scenario, world);
    const actors = createActors(world, turns, verbs);
    for (const actor of scenario.actors(actors, made)) turns.start(actor);
    await turns.runToEnd(choose);
    if (scenario.withoutReconciliation) await world.checkPaused([ID]);
    const repair = async () => {
      for (const host of HOSTS) {
        await actors.reportExits(host).run((port) => port);
        await actors.fire(host).run((port) => port);
        await actors.reconcile(host).run((port) => port);
      }
    };
    await repair();
    world.clock.advance(6_000);
    await repair();
    await repair();
    if (world.faults.length === 0) await world.checkRest([ID]);
    world.clock.advance(1_000_000);
    for (let i = 0; i < 3; i++) {
      await repair();
      world.clock.advance(6_000);
    }
    if (world.faults.length === 0) await world.checkEnd([ID]);
    return brokenOf(world, turns);
  };
}

function brokenOf({ faults }: World, { trace }: Turns): Broken | undefined {
  const [rule] = faults;
  return rule === undefined ? undefined : { rule, trace };
}

/** Creates the initial state of a scenario without concurrency. */
async function setUp(
  { given: input, pauses = false }: Scenario,
  world: World,
): Promise<{ id: string; generation: number }> {
  const { store, killJobs, promised } = world;
  const pooled = { ...draft(ID), timeout: POOL_AGE };
  const made =
    input === 'warm'
      ? await store.createWarm(pooled, POOL, 1)
      : await store.create(draft(ID, pauses));
  if (!made) throw new Error('the pool is full');
  const { id, generation } = made;
  if (input === 'pending') return made;
  const assigned = await store.assignToHost(id, generation, 'a');
  if (!assigned) throw new Error('it could not be assigned');
  await killJobs.schedule(assigned, made.timeout);
  const next = () => Promise.resolve(200);
  const started = await world.containers('a').start(assigned, next, () => Promise.resolve(true));
  const published = await store.markReady(id, generation, started?.address ?? '');
  if (input === 'ready') promised.set(id, published?.expiresAt ?? 0);
  return made;
}

import { POOL, POOL_AGE, TTL, VERBS, castOf, draft } from './actors.ts';
import type { Cast, Verbs } from './actors.ts';
import type { Broken, Run } from './explore.ts';
import { Turns } from './turns.ts';
import type { Actor } from './turns.ts';
import { HOSTS, openWorld } from './world.ts';
import type { World } from './world.ts';

/** What is there at first, and who acts at the same time. */
export interface Scenario {
  readonly given: 'pending' | 'ready' | 'warm';
  /** Its deadline pauses it. */
  readonly pauses?: boolean;
  /** Nobody dies in it, so nothing is left for a reconciliation to thaw. */
  readonly unaided?: boolean;
  /** In how many places somebody is interrupted at most: each more is ten times the orders. */
  readonly interruptions: number;
  readonly actors: (cast: Cast, made: { id: string; generation: number }) => Actor[];
}

const ID = 'a1';

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'two hosts start the same instance, one dies, and somebody ends it': {
    given: 'pending',
    interruptions: 1,
    actors: (cast, { id, generation }) => [
      cast.spawn('a', id, generation),
      cast.spawn('b', id, generation),
      cast.crash('a'),
      cast.requestKill(id),
    ],
  },
  'a start meets its deadline, its kill job and a reconciliation': {
    given: 'pending',
    interruptions: 2,
    actors: (cast, { id, generation }) => [
      cast.spawn('a', id, generation),
      cast.wait(TTL),
      cast.fire('a'),
      cast.reconcile('a'),
    ],
  },
  'a start outlives the store': {
    given: 'pending',
    interruptions: 2,
    actors: (cast, { id, generation }) => [
      cast.loss(),
      cast.spawn('a', id, generation),
      cast.reconcile('a'),
      cast.wait(6_000),
    ],
  },
  'the store goes back to before another host began it': {
    given: 'pending',
    interruptions: 2,
    actors: (cast, { id, generation }) => [
      cast.loss(),
      cast.spawn('a', id, generation),
      cast.spawn('b', id, generation),
    ],
  },
  'the store goes back to before another host began it, and the exits are told': {
    given: 'pending',
    interruptions: 1,
    actors: (cast, { id, generation }) => [
      cast.loss(),
      cast.spawn('a', id, generation),
      cast.spawn('b', id, generation),
      cast.reconcile('a'),
      cast.tell('a'),
    ],
  },
  'a renewal meets the deadline, its kill job and a reconciliation': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [
      cast.renew(id, TTL),
      cast.wait(TTL),
      cast.fire('a'),
      cast.reconcile('a'),
    ],
  },
  'two renewals, and the worker dies on the kill': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [
      cast.renew(id, TTL),
      cast.renew(id, 2 * TTL),
      cast.wait(TTL),
      cast.fire('a'),
      cast.crash('a'),
    ],
  },
  'a request to kill meets the deadline, a death and a reconciliation': {
    given: 'ready',
    interruptions: 1,
    actors: (cast, { id }) => [
      cast.requestKill(id),
      cast.wait(TTL),
      cast.fire('a'),
      cast.crash('a'),
      cast.reconcile('a'),
    ],
  },
  'a pause is overtaken by a resume, and cut short': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [
      cast.pause('a', id),
      cast.resume('a', id),
      cast.crash('a'),
      cast.reconcile('a'),
    ],
  },
  'a deadline that pauses meets a resume': {
    given: 'ready',
    pauses: true,
    unaided: true,
    interruptions: 2,
    actors: (cast, { id }) => [cast.wait(TTL), cast.fire('a'), cast.resume('a', id)],
  },
  'a pause meets the deadline and a renewal': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [
      cast.pause('a', id),
      cast.renew(id, TTL),
      cast.wait(TTL),
      cast.fire('a'),
    ],
  },
  'a claim meets the end of its time in the pool': {
    given: 'warm',
    interruptions: 2,
    actors: (cast) => [cast.claim(), cast.wait(POOL_AGE), cast.fire('a'), cast.reconcile('a')],
  },
  'two claims want the same one, and its container ends': {
    given: 'warm',
    interruptions: 1,
    actors: (cast, { id }) => [
      cast.claim(),
      cast.claim(),
      cast.exit('a', id),
      cast.wait(6_000),
      cast.reconcile('a'),
    ],
  },
  'the store loses a claim': {
    given: 'warm',
    interruptions: 2,
    actors: (cast) => [cast.loss(), cast.claim(), cast.wait(TTL), cast.fire('a')],
  },
  'a container ends under a renewal and a kill': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [
      cast.exit('a', id),
      cast.renew(id, TTL),
      cast.reconcile('a'),
      cast.requestKill(id),
    ],
  },
  'a container ends, and its worker is told beside a reconciliation': {
    given: 'ready',
    interruptions: 2,
    actors: (cast, { id }) => [cast.exit('a', id), cast.tell('a'), cast.reconcile('a')],
  },
};

/** One run of a scenario: all act, then all comes to rest, then every deadline passes. */
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
    const cast = castOf(world, turns, verbs);
    for (const actor of scenario.actors(cast, made)) turns.start(actor);
    await turns.untilAllAreDone(choose);
    if (scenario.unaided) await world.checkFrozen([ID]);
    const repair = async () => {
      for (const host of HOSTS) {
        await cast.tell(host).run((port) => port);
        await cast.fire(host).run((port) => port);
        await cast.reconcile(host).run((port) => port);
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

/** Brings the one instance of a scenario to where it begins, without anybody in between. */
async function setUp(
  { given, pauses = false }: Scenario,
  world: World,
): Promise<{ id: string; generation: number }> {
  const { store, kills, promised } = world;
  const pooled = { ...draft(ID), timeout: POOL_AGE };
  const made =
    given === 'warm' ? await store.stock(pooled, POOL, 1) : await store.create(draft(ID, pauses));
  if (!made) throw new Error('the pool is full');
  const { id, generation } = made;
  if (given === 'pending') return made;
  const begun = await store.begin(id, generation, 'a');
  if (!begun) throw new Error('it could not be begun');
  await kills.arm(begun, made.timeout);
  const next = () => Promise.resolve(200);
  const started = await world.containers('a').start(begun, next, () => Promise.resolve(true));
  const published = await store.publish(id, generation, started?.address ?? '');
  if (given === 'ready') promised.set(id, published?.expiresAt ?? 0);
  return made;
}

import { dueAt, endState, isDead, mayMove, pendingLease, readyLease } from '@ephemera/domain';
import type { Instance, State } from '@ephemera/domain';
import type { Instances, Leases } from '@ephemera/lifecycle';

/** The store of instances in memory; every change is one synchronous step, so it is atomic. */
export function memoryInstances(
  options: { now?: () => number; /** ms */ tombstone?: number } = {},
): Instances & Leases {
  const { now = Date.now, tombstone = 3_600_000 } = options;
  const known = new Map<string, Instance>();
  let counter = 0;

  const find = (id: string): Instance | undefined => {
    const instance = known.get(id);
    if (!instance || !isDead(instance.state)) return instance;
    if (instance.lastTransitionAt + tombstone > now()) return instance;
    known.delete(id);
    return undefined;
  };
  const move = (from: Instance, state: State, change: Partial<Instance>): Instance => {
    if (!mayMove(from.state, state)) throw new Error(`${from.state} never moves to ${state}`);
    const moved = { ...from, ...change, state, lastTransitionAt: now() };
    known.set(moved.id, moved);
    return moved;
  };
  const alive = (which: (instance: Instance) => boolean) =>
    [...known.values()].filter((instance) => !isDead(instance.state) && which(instance));

  const instances: Synchronous<Instances & Leases> = {
    create(draft) {
      if (find(draft.id)) throw new Error(`the id ${draft.id} is taken`);
      const instance: Instance = {
        ...draft,
        ...pendingLease(now(), draft.template.ready.within, draft.template.maxTimeout),
        generation: ++counter,
        supersedes: undefined,
        state: 'pending',
        reason: undefined,
        message: undefined,
        lastTransitionAt: now(),
        host: undefined,
        address: undefined,
        createdAt: now(),
        startedAt: undefined,
      };
      known.set(draft.id, instance);
      return instance;
    },
    get: find,
    begin(id, generation, host) {
      const instance = find(id);
      if (instance?.generation !== generation) return undefined;
      if (instance.state === 'starting' && instance.host === host) return instance;
      return instance.state === 'pending' ? move(instance, 'starting', { host }) : undefined;
    },
    publish(id, generation, address) {
      const instance = find(id);
      if (instance?.generation !== generation) return undefined;
      if (instance.state === 'ready' && instance.address === address) return publishedOf(instance);
      if (instance.state !== 'starting') return undefined;
      const lease = readyLease(now(), instance.timeout, instance);
      return publishedOf(
        move(instance, 'ready', { ...lease, address, startedAt: now(), activeAt: now() }),
      );
    },
    end(id, why, message) {
      const instance = find(id);
      if (!instance || isDead(instance.state)) return { kind: 'absent' };
      if (instance.state === 'draining') return { kind: 'draining', instance };
      const remaining = dueAt(instance) - now();
      const starting = instance.state !== 'ready';
      if (why === 'due' && remaining > 0) return { kind: 'leased', remaining };
      if (why === 'start_failed' && !starting) return { kind: 'leased', remaining };
      const late = why === 'due' && starting;
      const dueFor = instance.expiresAt > now() ? 'idle' : 'ttl';
      const ended = move(instance, 'draining', {
        supersedes: instance.generation,
        generation: ++counter,
        reason: late ? 'start_failed' : why === 'due' ? dueFor : why,
        message: late ? 'It was not ready before its start deadline.' : message,
      });
      return { kind: 'draining', instance: ended };
    },
    bury(id, generation) {
      const instance = find(id);
      if (instance?.state !== 'draining' || instance.generation !== generation) return;
      const { reason = 'orphan' } = instance;
      move(instance, endState(reason), { address: undefined, env: {} });
    },
    ofHost: (host) => alive((instance) => instance.host === host),
    strandedBefore: (time) =>
      alive(({ state, expiresAt }) => state === 'pending' && expiresAt <= time),
    restore(instance) {
      if (find(instance.id)) return false;
      known.set(instance.id, instance);
      counter = Math.max(counter, instance.generation);
      return true;
    },
    now,
    renew(id, renewal) {
      const instance = find(id);
      if (!instance) return { kind: 'absent' };
      const { state, expiresAt: held, maxExpiresAt } = instance;
      if (state === 'pending' || state === 'starting') return { kind: 'starting' };
      if (state !== 'ready' || held <= now()) return { kind: 'ended', instance };
      const wanted = 'timeout' in renewal ? now() + renewal.timeout : renewal.expiresAt;
      const below = Math.min(wanted, maxExpiresAt);
      const expiresAt = renewal.shorten ? below : Math.max(below, held);
      const renewed = { ...instance, expiresAt, activeAt: now() };
      known.set(id, renewed);
      return { kind: 'renewed', instance: renewed, shortened: expiresAt < held };
    },
    touch(ids) {
      for (const id of ids) {
        const instance = find(id);
        if (instance?.state === 'ready') known.set(id, { ...instance, activeAt: now() });
      }
    },
  };
  return inTurn(instances);
}

function publishedOf({ expiresAt, maxExpiresAt, startedAt = 0 }: Instance) {
  return { expiresAt, maxExpiresAt, startedAt };
}

type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never;
};

/** Answers in a later turn, as a store across a socket does: whatever may interleave, does. */
function inTurn(instances: Synchronous<Instances & Leases>): Instances & Leases {
  const later = <A extends unknown[], R>(act: (...args: A) => R) => {
    return async (...args: A): Promise<R> => {
      await Promise.resolve();
      return act(...args);
    };
  };
  return {
    create: later(instances.create),
    get: later(instances.get),
    begin: later(instances.begin),
    publish: later(instances.publish),
    end: later(instances.end),
    bury: later(instances.bury),
    ofHost: later(instances.ofHost),
    strandedBefore: later(instances.strandedBefore),
    restore: later(instances.restore),
    now: later(instances.now),
    renew: later(instances.renew),
    touch: later(instances.touch),
  };
}

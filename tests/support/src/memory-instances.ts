import {
  dueAt,
  isDead,
  isServing,
  killDelay,
  RENEWAL_TOLERANCE_MS,
  TRANSITIONS,
} from '@ephemera/domain';
import type { Instance, InstanceDraft, State } from '@ephemera/domain';
import { AssignedToOtherHostError } from '@ephemera/lifecycle';
import type { Instances, Leases, Suspensions } from '@ephemera/lifecycle';
import { asyncPort } from './async-port.ts';
import type { Synchronous } from './async-port.ts';
import { memoryPools } from './memory-pools.ts';
import type { MemoryPools } from './memory-pools.ts';
import { memorySuspensions } from './memory-suspensions.ts';
import type { MemoryTable } from './memory-table.ts';

export type MemoryInstances = Instances &
  Leases &
  Suspensions &
  MemoryPools & {
    /**
     * Returns a function that restores the present content, like a Redis that lost its last writes.
     */
    save(): () => void;
  };

/**
 * The store of instances in memory, as a second implementation of the same contract. Every change is
 * one synchronous step, so it is atomic.
 */
export function memoryInstances(
  options: { now?: () => number; /** ms */ tombstone?: number } = {},
): MemoryInstances {
  const { now = Date.now, tombstone = 3_600_000 } = options;
  const known = new Map<string, Instance>();
  /** When a tombstone expires, by id. */
  const staysUntil = new Map<string, number>();
  let counter = 0;

  const find = (id: string): Instance | undefined => {
    const instance = known.get(id);
    if (!instance || !isDead(instance.state)) return instance;
    if ((staysUntil.get(id) ?? 0) > now()) return instance;
    known.delete(id);
    return undefined;
  };
  const put = (instance: Instance): Instance => {
    known.set(instance.id, instance);
    return instance;
  };
  const move = (from: Instance, state: State, change: Partial<Instance>): Instance => {
    if (!TRANSITIONS[from.state].includes(state)) {
      throw new Error(`there is no transition from ${from.state} to ${state}`);
    }
    return put({ ...from, ...change, state, lastTransitionAt: now() });
  };
  const alive = (which: (instance: Instance) => boolean) =>
    [...known.values()].filter((instance) => !isDead(instance.state) && which(instance));
  const nextGeneration = () => ++counter;
  const table: MemoryTable = {
    now,
    find,
    all: () => [...known.values()],
    put,
    move,
    nextGeneration,
  };

  const create = (draft: InstanceDraft, pool?: string): Instance => {
    if (find(draft.id)) throw new Error(`the id ${draft.id} is taken`);
    const createdAt = now();
    const maxExpiresAt = createdAt + draft.template.maxTimeout;
    return put({
      ...draft,
      expiresAt: Math.min(createdAt + draft.template.ready.within, maxExpiresAt),
      maxExpiresAt,
      generation: nextGeneration(),
      supersedes: undefined,
      state: 'pending',
      reason: undefined,
      message: undefined,
      lastTransitionAt: createdAt,
      host: undefined,
      address: undefined,
      createdAt,
      startedAt: undefined,
      ...(pool !== undefined && { pool }),
    });
  };

  const instances: Synchronous<Instances & Leases> = {
    create: (draft) => create(draft),
    get: find,
    assignToHost(id, generation, host) {
      const instance = find(id);
      if (instance?.generation !== generation) return undefined;
      if (instance.state === 'starting') {
        if (instance.host === host) return instance;
        throw new AssignedToOtherHostError(`another host has started ${id}`);
      }
      return instance.state === 'pending' ? move(instance, 'starting', { host }) : undefined;
    },
    markReady(id, generation, address, host, published) {
      const instance = find(id);
      if (instance && isServing(instance.state) && instance.address === address) {
        return readyLeaseFrom(instance);
      }
      if (instance?.generation !== generation) return undefined;
      if (instance.state !== 'starting') return undefined;
      if (host !== undefined && instance.host !== host) return undefined;
      const startedAt = now();
      const expiresAt = Math.min(startedAt + instance.timeout, instance.maxExpiresAt);
      const change = { expiresAt, address, published, startedAt };
      if (instance.pool !== undefined) return readyLeaseFrom(move(instance, 'warm', change));
      return readyLeaseFrom(move(instance, 'ready', { ...change, activeAt: now() }));
    },
    startDraining(id, reason, message, hint) {
      const instance = find(id);
      if (!instance || isDead(instance.state)) return { kind: 'absent' };
      if (instance.state === 'draining') return { kind: 'draining', instance };
      if (reason === 'surplus' && instance.state !== 'warm') return { kind: 'absent' };
      const remaining = dueAt(instance) - now();
      const starting = !isServing(instance.state);
      if (reason === 'due' && remaining > 0) {
        return { kind: 'leased', remaining: killDelay(instance, now()) };
      }
      if (reason === 'start_failed' && !starting) return { kind: 'leased', remaining };
      const { template, maxExpiresAt } = instance;
      const isOver = reason === 'due' && instance.expiresAt <= now() && now() < maxExpiresAt;
      if (isOver && template.onTimeout === 'pause' && /ready|paused/.test(instance.state)) {
        put({ ...instance, state: 'paused', expiresAt: maxExpiresAt, lastTransitionAt: now() });
        return { kind: 'paused', remaining: maxExpiresAt - now() };
      }
      const late = reason === 'due' && starting;
      const dueFor = instance.expiresAt > now() ? 'idle' : 'ttl';
      const asEnd = { surplus: 'request', early_exit: 'start_failed' } as const;
      const input = reason === 'surplus' || reason === 'early_exit' ? asEnd[reason] : reason;
      const ended = move(instance, 'draining', {
        supersedes: instance.generation,
        generation: nextGeneration(),
        reason: late ? 'start_failed' : input === 'due' ? dueFor : input,
        message: late ? 'It was not ready before its start deadline.' : message,
        ...(hint && { hint }),
      });
      return { kind: 'draining', instance: ended };
    },
    finalize(id, generation, left) {
      const instance = find(id);
      if (instance?.state !== 'draining' || instance.generation !== generation) return false;
      const { reason = 'orphan', maxExpiresAt, pooledAs, template } = instance;
      const ceiling = maxExpiresAt + (pooledAs === undefined ? 0 : template.poolMaxAge);
      staysUntil.set(id, Math.max(now() + tombstone, left ? ceiling : 0));
      move(instance, reason === 'start_failed' ? 'failed' : 'gone', {
        address: undefined,
        env: {},
      });
      return true;
    },
    ofHost: (host) => alive((instance) => instance.host === host),
    unassignedOverdue: (time) =>
      alive(({ state, host, expiresAt, lastTransitionAt }) =>
        state === 'pending'
          ? expiresAt <= time
          : state === 'draining' && host === undefined && lastTransitionAt <= time,
      ),
    pendingWithoutHost: (time) =>
      alive(({ state, lastTransitionAt }) => state === 'pending' && lastTransitionAt <= time).map(
        ({ id, generation }) => ({ id, generation }),
      ),
    restore(instance) {
      if (find(instance.id)) return false;
      put(instance);
      counter = Math.max(counter, instance.generation);
      return true;
    },
    now,
    renew(id, renewal) {
      const instance = find(id);
      if (!instance) return { kind: 'absent' };
      const { state, expiresAt: held, maxExpiresAt } = instance;
      if (state === 'pending' || state === 'starting' || state === 'warm') {
        return { kind: 'starting' };
      }
      if (!isServing(state) || held <= now()) return { kind: 'ended', instance };
      const wanted = 'timeout' in renewal ? now() + renewal.timeout : renewal.expiresAt;
      const below = Math.min(wanted, maxExpiresAt);
      if (!renewal.shorten && below < held - RENEWAL_TOLERANCE_MS) {
        return { kind: 'earlier', instance: put({ ...instance, activeAt: now() }) };
      }
      const expiresAt = renewal.shorten ? below : Math.max(below, held);
      const renewed = put({ ...instance, expiresAt, activeAt: now() });
      return { kind: 'renewed', instance: renewed, previousExpiresAt: held };
    },
    touch(ids) {
      for (const id of ids) {
        const instance = find(id);
        if (instance?.state === 'ready') put({ ...instance, activeAt: now() });
      }
    },
  };
  return {
    ...asyncPort(instances),
    ...asyncPort(memorySuspensions(table)),
    ...asyncPort(memoryPools(table, create)),
    save() {
      const [before, count] = [[...known], counter];
      return () => {
        known.clear();
        for (const [id, instance] of before) known.set(id, instance);
        counter = count;
      };
    },
  };
}

function readyLeaseFrom({ expiresAt, maxExpiresAt, startedAt = 0 }: Instance) {
  return { expiresAt, maxExpiresAt, startedAt };
}

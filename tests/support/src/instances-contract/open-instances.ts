import type { Instance, InstanceDraft } from '@ephemera/domain';
import type { Instances, Intake, Leases, Suspensions } from '@ephemera/lifecycle';
import { onTestFinished } from 'vitest';
import { sampleDraft } from '../sample.ts';

/** Creates a separate store for one test; `tombstone` in milliseconds. */
export type InstancesMaker = (options: { tombstone?: number }) => Promise<MadeInstances>;

export interface MadeInstances {
  readonly instances: Instances;
  /** The same store, as seen by another process. */
  readonly second: Instances;
  readonly leases: Leases;
  readonly suspensions: Suspensions;
  readonly pools: Pick<Intake, 'createWarm' | 'claimWarm'>;
  close(): Promise<void>;
}

/** Opens a store for one test, with helpers that create an instance in each state. */
export function opener(make: InstancesMaker) {
  return async (options: { tombstone?: number } = {}) => {
    const { close, ...made } = await make(options);
    const { instances } = made;
    onTestFinished(close);
    const create = (input?: Partial<InstanceDraft>) => instances.create(sampleDraft(input));
    const assigned = async (input?: Partial<InstanceDraft>): Promise<Instance> => {
      const { id, generation } = await create(input);
      return present(await instances.assignToHost(id, generation, 'a'));
    };
    const ready = async (input?: Partial<InstanceDraft>): Promise<Instance> => {
      const { id, generation } = await assigned(input);
      present(await instances.markReady(id, generation, '10.0.0.9'));
      return present(await instances.get(id));
    };
    const draining = async (input?: Partial<InstanceDraft>): Promise<Instance> =>
      drained(await instances.startDraining((await ready(input)).id, 'request'));
    return { ...made, create, assigned, ready, draining };
  };
}

export type OpenInstances = ReturnType<typeof opener>;

export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the store refused');
  return value;
}

export function drained(ending: Awaited<ReturnType<Instances['startDraining']>>): Instance {
  if (ending.kind !== 'draining') throw new Error(`the outcome was ${ending.kind}`);
  return ending.instance;
}

export function byId(instances: readonly Instance[]): Instance[] {
  return [...instances].sort((a, b) => a.id.localeCompare(b.id));
}

import { isDead } from '@ephemera/domain';
import type { Instance, InstanceEvent, Route } from '@ephemera/domain';
import type { ListedContainer, ListedNetwork } from '../load/daemon.ts';
import type { Expectations } from '../load/expectations.ts';

/** A kill or spawn job that has not finished. */
export interface OpenJob {
  readonly id: string;
  readonly generation: number;
}

/** Everything at one moment: on the daemon, in Redis, and in the expectations of the clients. */
export interface Snapshot {
  /** Redis' clock, epoch ms. */
  readonly now: number;
  readonly namespace: string;
  readonly containers: readonly ListedContainer[];
  readonly networks: readonly ListedNetwork[];
  /** Every instance that Redis knows, dead ones too. */
  readonly instances: ReadonlyMap<string, Instance>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly killJobs: readonly OpenJob[];
  readonly spawnJobs: readonly OpenJob[];
  readonly failedJobs: readonly string[];
  readonly events: readonly InstanceEvent[];
  /** Every key with its remaining life, ms; -1 where it has no end. */
  readonly keys: ReadonlyMap<string, number>;
  /** Members of every set and sorted set of ids, by key without the namespace. */
  readonly sets: ReadonlyMap<string, readonly string[]>;
  /** What is promised on each host: instances, memory, thousandths of CPUs. */
  readonly used: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly expectations: Expectations;
  /** When a container of an id ended, by the daemon's word. */
  readonly ends: ReadonlyMap<string, readonly number[]>;
  readonly deliveries: ReadonlyMap<string, number>;
  /** Series of every process that runs, by its name. */
  readonly metrics: readonly { readonly app: string; readonly text: string }[];
}

/** Something that must hold once everything has recovered. */
export interface Invariant {
  readonly name: string;
  /** How long a recovery may take until it holds, ms; half a minute where absent. */
  readonly timeoutMs?: number;
  /** What breaks it, in words; empty where it holds. */
  broken(snapshot: Snapshot): string[];
}

export function liveOf({ instances }: Snapshot): Instance[] {
  return [...instances.values()].filter(({ state }) => !isDead(state));
}

export function containerId({ Labels }: ListedContainer): string {
  return Labels['ephemera.instance'] ?? '';
}

/** What is in one of two sets of ids and not in the other, in words. */
export function differences(
  a: { readonly name: string; readonly ids: Iterable<string> },
  b: { readonly name: string; readonly ids: Iterable<string> },
): string[] {
  const [inA, inB] = [new Set(a.ids), new Set(b.ids)];
  return [
    ...[...inA].filter((id) => !inB.has(id)).map((id) => `${id} is a ${a.name} and no ${b.name}`),
    ...[...inB].filter((id) => !inA.has(id)).map((id) => `${id} is a ${b.name} and no ${a.name}`),
  ];
}

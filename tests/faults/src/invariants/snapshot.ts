import { isDead } from '@ephemera/domain';
import type { Instance, InstanceEvent, Route } from '@ephemera/domain';
import type { ListedContainer, ListedNetwork } from '../load/daemon.ts';
import type { Expectations } from '../load/expectations.ts';

/** A kill job or spawn job that has not finished. */
export interface OpenJob {
  readonly id: string;
  readonly generation: number;
}

/** The state of the daemon, of Redis and of the expectations of the clients. */
export interface Snapshot {
  /** Clock of Redis, epoch ms. */
  readonly now: number;
  readonly namespace: string;
  readonly containers: readonly ListedContainer[];
  readonly networks: readonly ListedNetwork[];
  /** All instances in Redis, including tombstones. */
  readonly instances: ReadonlyMap<string, Instance>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly killJobs: readonly OpenJob[];
  readonly spawnJobs: readonly OpenJob[];
  readonly failedJobs: readonly string[];
  readonly events: readonly InstanceEvent[];
  /** TTL of every key by its name without the prefix, ms; -1 for a key without expiry. */
  readonly keys: ReadonlyMap<string, number>;
  /** Members of every set and sorted set of ids, by key without the prefix. */
  readonly sets: ReadonlyMap<string, readonly string[]>;
  /** Reserved capacity of each host: instances, memory, and thousandths of a CPU. */
  readonly used: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly expectations: Expectations;
  /** Times at which containers exited, by instance id, as the daemon reported them. */
  readonly ends: ReadonlyMap<string, readonly number[]>;
  readonly deliveries: ReadonlyMap<string, number>;
  /** Metrics of every running process. */
  readonly metrics: readonly { readonly app: string; readonly text: string }[];
}

/** A condition that must hold after a recovery. */
export interface Invariant {
  readonly name: string;
  /** Time limit of the recovery for this invariant, ms; 30 s by default. */
  readonly timeoutMs?: number;
  /** Describes each violation. Returns an empty array while the invariant holds. */
  broken(snapshot: Snapshot): string[];
}

export function liveOf({ instances }: Snapshot): Instance[] {
  return [...instances.values()].filter(({ state }) => !isDead(state));
}

export function containerId({ Labels }: ListedContainer): string {
  return Labels['ephemera.instance'] ?? '';
}

/** Describes the ids that only one of two sets contains. */
export function differences(
  a: { readonly name: string; readonly ids: Iterable<string> },
  b: { readonly name: string; readonly ids: Iterable<string> },
): string[] {
  const [inA, inB] = [new Set(a.ids), new Set(b.ids)];
  return [
    ...[...inA]
      .filter((id) => !inB.has(id))
      .map((id) => `${id} is a ${a.name}, but not a ${b.name}`),
    ...[...inB]
      .filter((id) => !inA.has(id))
      .map((id) => `${id} is a ${b.name}, but not a ${a.name}`),
  ];
}

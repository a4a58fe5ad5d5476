import { noStrayNetworks, noneOverdue, oneContainerAnId, sameSets, settled } from './containers.ts';
import { metricsAgree } from './metrics.ts';
import {
  everyEventDelivered,
  noCreationLost,
  noRenewalLost,
  noneEndedEarly,
  noViolations,
  onceCreated,
} from './promises.ts';
import { keysOwned, setsOwned } from './reservations.ts';
import type { Invariant, Snapshot } from './snapshot.ts';

/** All conditions that must hold after a deployment has recovered. */
export const INVARIANTS: readonly Invariant[] = [
  noneOverdue,
  noneEndedEarly,
  oneContainerAnId,
  sameSets,
  settled,
  noStrayNetworks,
  setsOwned,
  keysOwned,
  noCreationLost,
  noRenewalLost,
  onceCreated,
  everyEventDelivered,
  metricsAgree,
  noViolations,
];

export interface Broken {
  readonly invariant: string;
  readonly what: string;
  readonly timeoutMs?: number;
}

export function check(snapshot: Snapshot, invariants: readonly Invariant[] = INVARIANTS): Broken[] {
  return invariants.flatMap(({ name, timeoutMs, broken }) =>
    broken(snapshot).map((what) => ({
      invariant: name,
      what,
      ...(timeoutMs !== undefined && { timeoutMs }),
    })),
  );
}

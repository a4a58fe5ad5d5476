import { noStrayNetworks, noneOverdue, oneContainerAnId, sameSets, settled } from './containers.ts';
import { metricsAgree } from './metrics.ts';
import {
  everybodyTold,
  noCreationLost,
  noRenewalLost,
  noneEarly,
  nothingWrong,
  onceCreated,
} from './promises.ts';
import { keysOwned, setsOwned } from './reservations.ts';
import type { Invariant, Snapshot } from './snapshot.ts';

/** Everything that must hold once a deployment has recovered. */
export const INVARIANTS: readonly Invariant[] = [
  noneOverdue,
  noneEarly,
  oneContainerAnId,
  sameSets,
  settled,
  noStrayNetworks,
  setsOwned,
  keysOwned,
  noCreationLost,
  noRenewalLost,
  onceCreated,
  everybodyTold,
  metricsAgree,
  nothingWrong,
];

export interface Broken {
  readonly invariant: string;
  readonly what: string;
  readonly within?: number;
}

export function check(snapshot: Snapshot, invariants: readonly Invariant[] = INVARIANTS): Broken[] {
  return invariants.flatMap(({ name, within, broken }) =>
    broken(snapshot).map((what) => ({
      invariant: name,
      what,
      ...(within !== undefined && { within }),
    })),
  );
}

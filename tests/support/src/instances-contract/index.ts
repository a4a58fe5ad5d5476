import { claimingContract } from './claiming.ts';
import { endingContract } from './ending.ts';
import { keepingContract } from './keeping.ts';
import { opener } from './open-instances.ts';
import type { InstancesMaker } from './open-instances.ts';
import { renewingContract } from './renewing.ts';
import { startingContract } from './starting.ts';
import { suspendingContract } from './suspending.ts';

/** The behaviour that every instance store must have, whatever its storage. */
export function instancesContract(make: InstancesMaker): void {
  const open = opener(make);
  startingContract(open);
  renewingContract(open);
  endingContract(open);
  keepingContract(open);
  suspendingContract(open);
  claimingContract(open);
}

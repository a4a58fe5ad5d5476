import type { Hint, Instance } from '@ephemera/domain';
import type { CreationContext, DrainOutcome, DrainReason } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('drain', 'frees');

/** Messages of an instance whose start deadline has passed. */
const QUEUED_TOO_LONG = 'No capacity became free before its queue timeout.';
const STARTED_TOO_LONG = 'It was not ready before its start deadline.';

/**
 * What is released in the same step. With `generation` and `createdAt`, only that generation ends; a
 * store that lost writes may assign a generation twice, so the time tells two apart. With `attempt`,
 * only an instance that this attempt has created.
 */
export interface Withdrawal
  extends
    Partial<Pick<Instance, 'generation' | 'createdAt'>>,
    Pick<CreationContext, 'grants' | 'idempotency' | 'attempt'> {}

interface DrainRequest {
  readonly id: string;
  readonly reason: DrainReason;
  readonly message?: string | undefined;
  readonly hint?: Hint | undefined;
  readonly withdrawal?: Withdrawal | undefined;
}

/** Any live state `→ draining`, by `drain.lua`: the only way in which an instance ends. */
export async function startDraining(
  redis: Redis,
  keys: Keys,
  { id, reason, message = '', hint, withdrawal }: DrainRequest,
): Promise<DrainOutcome> {
  const reply = (await runScript(
    redis,
    script,
    [keys.instance(id), keys.route(id), keys.generation, keys.pending, keys.events, keys.expiring],
    [
      ...[id, reason, message, QUEUED_TOO_LONG, STARTED_TOO_LONG],
      hint ? JSON.stringify(hint) : '',
      withdrawal ? JSON.stringify(withdrawal) : '',
    ],
  )) as ['absent'] | ['leased' | 'paused', number] | ['draining', string[]];
  if (reply[0] === 'absent') return { kind: 'absent' };
  if (reply[0] !== 'draining') return { kind: reply[0], remaining: reply[1] };
  const instance = readFields(reply[1]);
  return instance ? { kind: 'draining', instance } : { kind: 'absent' };
}

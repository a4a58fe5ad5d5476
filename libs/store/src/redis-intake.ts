import { randomUUID } from 'node:crypto';
import { NotSentError } from '@ephemera/lifecycle';
import type {
  ClaimResult,
  DrainReason,
  Intake,
  StartQueue,
  CreationContext,
  CreationRefusal,
  CreateResult,
  StartSigner,
  WithdrawalReason,
} from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { readGeneration } from './redis-names.ts';
import { noReplication } from './replication.ts';
import type { Replication } from './replication.ts';
import { loadScript, runScript } from './run-script.ts';
import { startDraining } from './start-draining.ts';
import type { Withdrawal } from './start-draining.ts';
import { writeIntent } from './write-intent.ts';
import type { RefusalReply } from './write-intent.ts';

const scripts = {
  claim: loadScript('claim'),
  admit: loadScript('dequeue'),
  withdrawClaim: loadScript('withdraw-claim', 'frees'),
};

/** How a withdrawn instance ends. */
const WITHDRAWN = {
  unconfirmed: {
    reason: 'request',
    message: 'The store could not confirm it, so no client has its id.',
  },
  unreachable: { reason: 'exited', message: 'It did not answer when it was claimed.' },
} as const satisfies Readonly<Record<WithdrawalReason, { reason: DrainReason; message: string }>>;

type ClaimReply = ['claimed', string[]] | ['none'] | RefusalReply;

/** Creates and claims instances within the limits. Lua scripts check and write in one step. */
export function redisIntake(
  redis: Redis,
  keys: Keys,
  signer?: StartSigner,
  replication: Replication = noReplication,
): Intake {
  return {
    async createOrQueue(draft, context): Promise<CreateResult> {
      const queue = draft.template.whenFull === 'queue';
      const { reply, instance } = await orNotSent(
        writeIntent(redis, keys, draft, { ...context, queue }, signer),
      );
      switch (reply[0]) {
        case 'created':
        case 'queued':
          if (instance) {
            const superseded = reply[5];
            return { kind: reply[0], instance, ...(superseded && { superseded }) };
          }
          throw new Error(`the creation of ${draft.id} returned no instance`);
        case 'taken':
          throw new Error(`the id ${draft.id} is taken`);
        case 'stocked':
          throw new Error('a creation for a client was refused as one for a full pool');
        default:
          return refusal(reply);
      }
    },

    async claimWarm(
      pool,
      { timeout, metadata, accessHash, path },
      context: CreationContext,
    ): Promise<ClaimResult> {
      const attempt = context.attempt ?? randomUUID();
      const reply = (await orNotSent(
        runScript(
          redis,
          scripts.claim,
          [keys.warm(pool), keys.generation, keys.events, keys.expiring],
          [
            pool,
            timeout,
            JSON.stringify(metadata),
            JSON.stringify({ ...context, attempt, accessHash, path }),
          ],
        ),
      )) as ClaimReply;
      if (reply[0] === 'none') return { kind: 'none' };
      if (reply[0] !== 'claimed') return refusal(reply);
      const instance = readFields(reply[1]);
      return instance ? { kind: 'claimed', instance } : { kind: 'none' };
    },

    confirm: (instance) => replication.confirm(instance),

    async withdraw(withdrawn, { grants, idempotency }, reason) {
      const used = { grants, idempotency };
      const end = (id: string, of: Withdrawal) =>
        startDraining(redis, keys, { id, ...WITHDRAWN[reason], withdrawal: { ...of, ...used } });
      if ('generation' in withdrawn) {
        const { id, generation, createdAt } = withdrawn;
        return end(id, { generation, createdAt });
      }
      const { id, attempt } = withdrawn;
      if (id !== undefined) return end(id, { attempt });
      const key = keys.claim(attempt);
      const claimed = (await runScript(redis, scripts.withdrawClaim, [key], [])) as string | null;
      return claimed === null ? { kind: 'absent' } : end(claimed, {});
    },

    async redeemed(grant) {
      return Number((await redis.get(keys.grant(grant))) ?? 0);
    },

    async createWarm(draft, pool, desired) {
      return (await writeIntent(redis, keys, draft, { pool, desired }, signer)).instance;
    },
  };
}

/** The queues of templates for which there is no capacity. */
export function redisStartQueue(redis: Redis, keys: Keys): StartQueue {
  return {
    async templates() {
      return redis.smembers(keys.queues);
    },
    async dequeue(template) {
      const reply = (await runScript(
        redis,
        scripts.admit,
        [keys.templateQueue(template), keys.pending],
        [template],
      )) as [string, number] | null;
      return reply ? { id: reply[0], generation: reply[1] } : undefined;
    },
  };
}

/** ioredis refuses a command at once while there is no connection, without a class for the error. */
async function orNotSent<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const isUnsent = error instanceof Error && error.message.includes("isn't writeable");
    throw isUnsent ? new NotSentError(error.message, { cause: error }) : error;
  }
}

function refusal(reply: RefusalReply): CreationRefusal {
  switch (reply[0]) {
    case 'full':
      return { kind: 'full', limit: reply[1] };
    case 'foreign':
      return { kind: 'foreign' };
    case 'unmatched':
      return { kind: 'unmatched', generation: readGeneration(reply[1]) };
    case 'crashing':
      return { kind: 'crashing', id: reply[1], reason: reply[2] };
    case 'exhausted':
      return { kind: 'exhausted', what: reply[1] };
    case 'repeated': {
      const [kind, id, fields, salt] = reply;
      return { kind, id, instance: readFields(fields), salt: salt ?? undefined };
    }
    case 'reused':
      return { kind: 'reused' };
    case 'withdrawn':
      throw new Error('the request was withdrawn, because its reply was lost');
  }
}

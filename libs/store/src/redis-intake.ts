import { randomUUID } from 'node:crypto';
import type {
  ClaimResult,
  Intake,
  StartQueue,
  CreationContext,
  CreationRefusal,
  CreateResult,
  StartSigner,
} from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { noReplication } from './replication.ts';
import type { Replication } from './replication.ts';
import { loadScript, runScript } from './run-script.ts';
import { startDraining } from './start-draining.ts';
import { writeIntent } from './write-intent.ts';
import type { RefusalReply } from './write-intent.ts';

const scripts = { claim: loadScript('claim'), admit: loadScript('dequeue') };

const UNCONFIRMED = 'The store could not confirm it, so no client has its id.';

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
      const { reply, instance } = await writeIntent(
        redis,
        keys,
        draft,
        { ...context, queue },
        signer,
      );
      if (reply[0] === 'created' || reply[0] === 'queued') {
        if (instance) return { kind: reply[0], instance };
      }
      if (reply[0] === 'full' || reply[0] === 'exhausted') return refusal(reply);
      if (reply[0] === 'repeated' || reply[0] === 'reused') return refusal(reply);
      throw new Error(`the id ${draft.id} is taken`);
    },

    async claimWarm(
      pool,
      { timeout, metadata, accessHash, path },
      context: CreationContext,
    ): Promise<ClaimResult> {
      const reply = (await runScript(
        redis,
        scripts.claim,
        [keys.warm(pool), keys.generation, keys.events, keys.expiring],
        [
          pool,
          timeout,
          JSON.stringify(metadata),
          JSON.stringify({ ...context, accessHash, path }),
          randomUUID(),
        ],
      )) as ClaimReply;
      if (reply[0] === 'none') return { kind: 'none' };
      if (reply[0] !== 'claimed') return refusal(reply);
      const instance = readFields(reply[1]);
      return instance ? { kind: 'claimed', instance } : { kind: 'none' };
    },

    confirm: (instance) => replication.confirm(instance),

    withdraw: ({ id, generation, createdAt }, grants) =>
      startDraining(redis, keys, {
        ...{ id, reason: 'request', message: UNCONFIRMED },
        withdrawal: { generation, createdAt, grants },
      }),

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

function refusal(reply: RefusalReply): CreationRefusal {
  switch (reply[0]) {
    case 'full':
      return { kind: 'full', limit: reply[1] };
    case 'exhausted':
      return { kind: 'exhausted', what: reply[1] };
    case 'repeated': {
      const [kind, id, fields, salt] = reply;
      return { kind, id, instance: readFields(fields), salt: salt ?? undefined };
    }
    case 'reused':
      return { kind: 'reused' };
  }
}

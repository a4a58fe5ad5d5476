import { randomUUID } from 'node:crypto';
import type { Claimed, Intake, Line, Order, Refused, Taken } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';
import { writeIntent } from './write-intent.ts';
import type { RefusalReply } from './write-intent.ts';

const scripts = { claim: loadScript('claim'), admit: loadScript('admit') };

type ClaimReply = ['claimed', string[]] | ['none'] | RefusalReply;

/** Requests for instances against the limits, in Lua. */
export function redisIntake(redis: Redis, keys: Keys): Intake {
  return {
    async take(draft, order): Promise<Taken> {
      const queue = draft.template.whenFull === 'queue';
      const { reply, instance } = await writeIntent(redis, keys, draft, { ...order, queue });
      if (reply[0] === 'created' || reply[0] === 'queued') {
        if (instance) return { kind: reply[0], instance };
      }
      if (reply[0] === 'full' || reply[0] === 'spent') return refusal(reply);
      if (reply[0] === 'repeated' || reply[0] === 'reused') return refusal(reply);
      throw new Error(`the id ${draft.id} is taken`);
    },

    async claim(pool, { timeout, metadata, accessHash }, order: Order): Promise<Claimed> {
      const reply = (await runScript(
        redis,
        scripts.claim,
        [keys.warm(pool), keys.generation, keys.events, keys.expiring],
        [
          pool,
          timeout,
          JSON.stringify(metadata),
          JSON.stringify({ ...order, accessHash }),
          randomUUID(),
        ],
      )) as ClaimReply;
      if (reply[0] === 'none') return { kind: 'none' };
      if (reply[0] !== 'claimed') return refusal(reply);
      const instance = readFields(reply[1]);
      return instance ? { kind: 'claimed', instance } : { kind: 'none' };
    },

    async stock(draft, pool, want) {
      return (await writeIntent(redis, keys, draft, { pool, want })).instance;
    },
  };
}

/** The queues before templates and hosts that are full, in Lua. */
export function redisLine(redis: Redis, keys: Keys): Line {
  return {
    async templates() {
      return redis.smembers(keys.queues);
    },
    async admit(template) {
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

function refusal(reply: RefusalReply): Refused {
  switch (reply[0]) {
    case 'full':
      return { kind: 'full', limit: reply[1] };
    case 'spent':
      return { kind: 'spent', what: reply[1] };
    case 'repeated':
      return { kind: 'repeated', id: reply[1], instance: readFields(reply[2]) };
    case 'reused':
      return { kind: 'reused' };
  }
}

import type { Leases, Renewed } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const scripts = { renew: loadScript('renew'), touch: loadScript('touch') };

/** How many instances one script call updates. */
const BATCH = 500;

type Reply = ['absent'] | ['starting'] | ['ended', string[]] | ['renewed', number, string[]];

/** The leases of ready instances. */
export function redisLeases(redis: Redis, keys: Keys): Leases {
  return {
    async renew(id, renewal): Promise<Renewed> {
      const [timeout, expiresAt] =
        'timeout' in renewal ? [renewal.timeout, ''] : ['', renewal.expiresAt];
      const reply = (await runScript(
        redis,
        scripts.renew,
        [keys.instance(id), keys.route(id), keys.events, keys.expiring],
        [timeout, expiresAt, renewal.shorten ? 1 : 0, id],
      )) as Reply;
      if (reply[0] === 'absent' || reply[0] === 'starting') return { kind: reply[0] };
      const instance = readFields(reply[0] === 'ended' ? reply[1] : reply[2]);
      if (!instance) return { kind: 'absent' };
      if (reply[0] === 'ended') return { kind: 'ended', instance };
      return { kind: 'renewed', instance, shortened: reply[1] === 1 };
    },

    async touch(ids) {
      for (let i = 0; i < ids.length; i += BATCH) {
        const touched = ids.slice(i, i + BATCH).map((id) => keys.instance(id));
        await runScript(redis, scripts.touch, touched, []);
      }
    },
  };
}

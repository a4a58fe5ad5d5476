import type { Leases, Renewed, Resumed, Suspensions } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const scripts = {
  renew: loadScript('renew'),
  touch: loadScript('touch'),
  pause: loadScript('pause'),
  resume: loadScript('resume'),
};

/** How many instances one script call updates. */
const BATCH = 500;

type Reply =
  ['absent'] | ['starting'] | ['ended' | 'earlier', string[]] | ['renewed', number, string[]];

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
      const instance = readFields(reply[0] === 'renewed' ? reply[2] : reply[1]);
      if (!instance) return { kind: 'absent' };
      if (reply[0] !== 'renewed') return { kind: reply[0], instance };
      return { kind: 'renewed', instance, previousExpiresAt: reply[1] };
    },

    async touch(ids) {
      for (let i = 0; i < ids.length; i += BATCH) {
        const touched = ids.slice(i, i + BATCH).map((id) => keys.instance(id));
        await runScript(redis, scripts.touch, touched, []);
      }
    },
  };
}

export function redisSuspensions(redis: Redis, keys: Keys): Suspensions {
  return {
    async pause(id) {
      const touched = [keys.instance(id), keys.route(id), keys.events];
      const [kind] = (await runScript(redis, scripts.pause, touched, [])) as [
        'paused' | 'refused' | 'absent',
      ];
      return kind;
    },

    async resume(id): Promise<Resumed> {
      const touched = [keys.instance(id), keys.route(id), keys.events, keys.expiring];
      const reply = (await runScript(redis, scripts.resume, touched, [id])) as
        ['refused'] | ['absent'] | ['resumed', number, string[]];
      if (reply[0] !== 'resumed') return { kind: reply[0] };
      const instance = readFields(reply[2]);
      return instance ? { kind: 'resumed', sooner: reply[1] === 1, instance } : { kind: 'absent' };
    },
  };
}

import type { Resumed, Suspensions } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import { readFields } from './instance-fields.ts';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const scripts = { pause: loadScript('pause'), resume: loadScript('resume') };

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

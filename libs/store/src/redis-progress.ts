import type { Progress } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('step');

/** The steps of starts in Redis: in the instance for people, in its route for who waits. */
export function redisProgress(redis: Redis, keys: Keys): Progress {
  return {
    async report({ id, generation }, { step, done, message }, timeoutMs = 0) {
      const reply = await runScript(
        redis,
        script,
        [keys.instance(id), keys.route(id)],
        [generation, step, done ?? '', message, timeoutMs],
      );
      return reply === null ? undefined : (reply as number);
    },
  };
}

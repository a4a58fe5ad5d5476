import type { Progress } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { loadScript, runScript } from './run-script.ts';

const script = loadScript('step');

/**
 * Stores the progress of starts: in the instance for the API, and in its route for waiting
 * requests.
 */
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

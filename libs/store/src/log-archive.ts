import type { LogLine } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The last that instances wrote, kept for as long as their tombstones. */
export interface LogArchive {
  /** Keeps the last of these lines; what was kept before is replaced. */
  save(id: string, lines: readonly LogLine[]): Promise<void>;
  /** Undefined where nothing is kept. */
  read(id: string): Promise<readonly LogLine[] | undefined>;
}

/** How much of each log is kept, characters of text. */
const MAX_LOG_BYTES = 16_384;

export function redisLogArchive(redis: Redis, keys: Keys, tombstone: number): LogArchive {
  return {
    async save(id, lines) {
      const last = lastOf(lines, MAX_LOG_BYTES);
      if (last.length > 0) await redis.set(keys.log(id), JSON.stringify(last), 'PX', tombstone);
    },
    async read(id) {
      const text = await redis.get(keys.log(id));
      return text === null ? undefined : (JSON.parse(text) as LogLine[]);
    },
  };
}

/** As many of the last lines as have room; of a single one that is too long, its end. */
function lastOf(lines: readonly LogLine[], maxBytes: number): LogLine[] {
  const last: LogLine[] = [];
  let left = maxBytes;
  for (const startQueue of lines.toReversed()) {
    if (startQueue.text.length > left) {
      if (last.length === 0) last.push({ ...startQueue, text: startQueue.text.slice(-left) });
      break;
    }
    left -= startQueue.text.length;
    last.push(startQueue);
  }
  return last.reverse();
}

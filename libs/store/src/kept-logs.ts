import type { LogLine } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The last that instances wrote, kept for as long as their tombstones. */
export interface KeptLogs {
  /** Keeps the last of these lines; what was kept before is replaced. */
  keep(id: string, lines: readonly LogLine[]): Promise<void>;
  /** Undefined where nothing is kept. */
  read(id: string): Promise<readonly LogLine[] | undefined>;
}

/** How much of each log is kept, characters of text. */
const KEPT = 16_384;

export function redisKeptLogs(redis: Redis, keys: Keys, tombstone: number): KeptLogs {
  return {
    async keep(id, lines) {
      const last = lastOf(lines, KEPT);
      if (last.length > 0) await redis.set(keys.log(id), JSON.stringify(last), 'PX', tombstone);
    },
    async read(id) {
      const text = await redis.get(keys.log(id));
      return text === null ? undefined : (JSON.parse(text) as LogLine[]);
    },
  };
}

/** As many of the last lines as have room; of a single one that is too long, its end. */
function lastOf(lines: readonly LogLine[], room: number): LogLine[] {
  const last: LogLine[] = [];
  let left = room;
  for (const line of lines.toReversed()) {
    if (line.text.length > left) {
      if (last.length === 0) last.push({ ...line, text: line.text.slice(-left) });
      break;
    }
    left -= line.text.length;
    last.push(line);
  }
  return last.reverse();
}

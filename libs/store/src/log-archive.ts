import type { LogLine } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';

/** The last log lines of ended instances, kept as long as their tombstones. */
export interface LogArchive {
  /** Stores the last of these lines; replaces lines stored before. */
  save(id: string, lines: readonly LogLine[]): Promise<void>;
  /** Undefined where nothing is stored. */
  read(id: string): Promise<readonly LogLine[] | undefined>;
}

/** How much text of each log is kept, characters. */
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

/** Returns as many of the last lines as fit. If one line alone is too long, returns its end. */
function lastOf(lines: readonly LogLine[], maxBytes: number): LogLine[] {
  const last: LogLine[] = [];
  let left = maxBytes;
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

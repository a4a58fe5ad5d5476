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

/** How much of each log is kept, bytes of JSON: what an instance prints decides what Redis stores. */
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
  // The brackets of the array.
  let left = maxBytes - 2;
  for (const line of lines.toReversed()) {
    const size = bytesOf(line) + 1;
    if (size > left) {
      if (last.length === 0) last.push(endOf(line, left));
      break;
    }
    left -= size;
    last.push(line);
  }
  return last.reverse();
}

function bytesOf(line: LogLine): number {
  return Buffer.byteLength(JSON.stringify(line));
}

/** The line with as much of the end of its text as fits. A character has at most six bytes: `\u0001`. */
function endOf(line: LogLine, maxBytes: number): LogLine {
  const rest = { ...line, text: line.text.slice(-maxBytes) };
  const excess = bytesOf(rest) - maxBytes;
  return excess > 0
    ? endOf({ ...rest, text: rest.text.slice(Math.ceil(excess / 6)) }, maxBytes)
    : rest;
}

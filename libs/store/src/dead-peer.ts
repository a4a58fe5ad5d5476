import { Redis } from 'ioredis';
import { endOnDisconnect } from './end-on-disconnect.ts';

/** Interval between two checks, and the number of missed answers that close a connection. */
const CHECK_INTERVAL_MS = 2_000;
const MAX_MISSED = 3;

/** Duplicates of connections, which BullMQ creates for its blocking reads. */
const duplicates = new WeakMap<Redis, Set<Redis>>();

/**
 * Closes a connection whose peer no longer answers, so that it connects again: within 8 s. A machine
 * that is gone or cut off does not close its connections, and TCP itself gives up only after minutes.
 *
 * A PING on the connection tells. A duplicate may be in a blocking read of up to 10 s, which delays a
 * PING: it is closed together with the original, whose peer it shares.
 */
export function closeDeadConnections(redis: Redis): void {
  trackDuplicates(redis);
  let missed = 0;
  let isAsking = false;
  const ask = async () => {
    isAsking = true;
    try {
      await redis.ping();
      missed = 0;
    } catch {
      // A timeout counts with the next check. A lost connection is reported by the connection.
    } finally {
      isAsking = false;
    }
  };
  const stuck = new Map<Redis, number>();
  const timer = setInterval(() => {
    // A peer that accepts a connection and says nothing holds it in its handshake.
    for (const item of withDuplicates(redis)) {
      const checks = item.status === 'connect' ? (stuck.get(item) ?? 0) + 1 : 0;
      stuck.set(item, checks);
      if (checks > MAX_MISSED) reconnect(item);
    }
    if (redis.status !== 'ready') {
      missed = 0;
      return;
    }
    if (missed >= MAX_MISSED) {
      missed = 0;
      for (const item of withDuplicates(redis)) reconnect(item);
      return;
    }
    missed++;
    if (!isAsking) void ask();
  }, CHECK_INTERVAL_MS);
  timer.unref();
  redis.on('end', () => clearInterval(timer));
}

/**
 * Closes a connection, so that it connects again. One that still resolves its master must not be
 * disconnected, because ioredis would not connect again. It asks the sentinels anyway.
 */
export function reconnect(redis: Redis): void {
  if (redis.status === 'ready' || redis.status === 'connect') redis.disconnect(true);
}

/** A connection and its open duplicates. */
function withDuplicates(redis: Redis): Redis[] {
  return [redis, ...(duplicates.get(redis) ?? [])];
}

function trackDuplicates(redis: Redis): void {
  const copies = new Set<Redis>();
  duplicates.set(redis, copies);
  redis.duplicate = (override) => {
    const copy = endOnDisconnect(
      new Redis({ ...redis.options, ...override, replyMapping: 'legacy' }),
    );
    copies.add(copy);
    copy.on('end', () => copies.delete(copy));
    copy.on('connect', () => copies.add(copy));
    return copy;
  };
}

import type { Redis } from 'ioredis';

/**
 * Makes `disconnect()` end a connection that waits for its next attempt. ioredis then stops the
 * attempts, but emits no `end` and leaves queued commands pending for ever. What depends on the
 * connection, such as timers, would never stop.
 * @returns the same connection
 */
export function endOnDisconnect(redis: Redis): Redis {
  const disconnect = redis.disconnect.bind(redis);
  redis.disconnect = (reconnect = false) => {
    // ioredis ends a connection at once that waits for its first `connect()`.
    if (redis.status === 'reconnecting' && !reconnect) redis.status = 'wait';
    disconnect(reconnect);
  };
  return redis;
}

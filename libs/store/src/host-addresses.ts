import type { SignedHostAddress } from '@ephemera/lifecycle';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { HOST_ALIVE_TIMEOUT_MS } from './limits.ts';

/** Where the workers of each host accept requests of proxies. Times are the store's, epoch ms. */
export interface HostAddresses {
  /** Registers the address of a worker for `HOST_ALIVE_TIMEOUT_MS`. Each heartbeat repeats it. */
  register(host: string, address: SignedHostAddress, now: number): Promise<void>;
  /** Removes the address of a worker that stops. */
  remove(host: string, fingerprint: string): Promise<void>;
  /** The addresses of the workers of a host, the latest heartbeat first. */
  of(host: string, now: number): Promise<SignedHostAddress[]>;
  /**
   * Removes the addresses of workers that have died. `of` ignores them, but workers that restart
   * again and again would accumulate them.
   */
  prune(host: string, now: number): Promise<void>;
}

/** How long the key of a host outlives its workers. */
const KEY_TTL_MS = 4 * HOST_ALIVE_TIMEOUT_MS;

interface Registered extends SignedHostAddress {
  readonly seenAt: number;
}

export function redisHostAddresses(redis: Redis, keys: Keys): HostAddresses {
  const read = async (host: string): Promise<Registered[]> => {
    const texts = await redis.hvals(keys.hostAddresses(host));
    return texts.map((text) => JSON.parse(text) as Registered);
  };
  /** When the key of a host expires. It is extended less often than it is written. */
  const expiresAt = new Map<string, number>();
  const isAlive = ({ seenAt }: Registered, now: number) => seenAt > now - HOST_ALIVE_TIMEOUT_MS;
  return {
    async register(host, { url, fingerprint, signature }, now) {
      const registered: Registered = { url, fingerprint, signature, seenAt: now };
      const key = keys.hostAddresses(host);
      await redis.hset(key, fingerprint, JSON.stringify(registered));
      if (now < (expiresAt.get(host) ?? 0) - KEY_TTL_MS / 2) return;
      await redis.pexpire(key, KEY_TTL_MS);
      expiresAt.set(host, now + KEY_TTL_MS);
    },
    async remove(host, fingerprint) {
      await redis.hdel(keys.hostAddresses(host), fingerprint);
    },
    async of(host, now) {
      const registered = await read(host);
      return registered
        .filter((address) => isAlive(address, now))
        .sort((a, b) => b.seenAt - a.seenAt);
    },
    async prune(host, now) {
      const dead = (await read(host)).filter((address) => !isAlive(address, now));
      if (dead.length === 0) return;
      await redis.hdel(keys.hostAddresses(host), ...dead.map(({ fingerprint }) => fingerprint));
    },
  };
}

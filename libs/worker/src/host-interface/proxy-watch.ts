import type { Socket } from 'node:net';

/**
 * Time without a connection of a proxy after which it counts as dead, ms. A proxy opens one every 3 s
 * while it has a request here.
 */
const DEAD_AFTER_MS = 9_000;
const CHECK_INTERVAL_MS = 1_000;

/**
 * Closes the connections of proxies that no longer answer, within 10 s: a machine that is gone or cut
 * off does not close them. Proxies are told apart by their addresses. Where several share one, they
 * count as one proxy, and TCP keep-alive closes the idle connections of a dead one.
 */
export function watchProxies() {
  const seenAt = new Map<string, number>();
  const active = new Set<Socket>();
  const timer = setInterval(() => {
    const oldest = performance.now() - DEAD_AFTER_MS;
    for (const socket of active) {
      if ((seenAt.get(addressOf(socket)) ?? 0) < oldest) socket.destroy();
    }
    for (const [address, at] of seenAt) if (at < oldest) seenAt.delete(address);
  }, CHECK_INTERVAL_MS);
  timer.unref();

  return {
    /** Records that a proxy at this address is alive. */
    seen(address: string | undefined): void {
      if (address !== undefined) seenAt.set(address, performance.now());
    },
    /** Watches the connection of a request. Returns what ends the watch. */
    watch(socket: Socket): () => void {
      const address = addressOf(socket);
      seenAt.set(address, performance.now());
      active.add(socket);
      socket.setKeepAlive(true, CHECK_INTERVAL_MS);
      return () => active.delete(socket);
    },
    close(): void {
      clearInterval(timer);
    },
  };
}

function addressOf({ remoteAddress = '' }: Socket): string {
  return remoteAddress;
}

import type { HostAddress } from '@ephemera/lifecycle';
import { connectToWorker } from './worker-agent.ts';

/** Interval of the checks, and the timeout of each, ms. */
const CHECK_INTERVAL_MS = 3_000;
/** How many checks in a row must fail. */
const MAX_FAILED = 2;

/** Watches the workers with which requests are in progress. */
export interface WorkerWatch {
  /**
   * Calls `onDead` once if the worker no longer answers.
   * @returns ends the watch
   */
  watch(address: HostAddress, onDead: () => void): () => void;
}

/**
 * Notices within 10 s that a worker or its machine no longer answers. A machine that is gone or cut off
 * does not close its connections: TCP gives up after minutes, and its keep-alive probes do not run
 * while data is unacknowledged. A check is a new connection with its TLS handshake, which proves that
 * the process runs. The worker learns from it that this proxy is alive.
 */
export function createWorkerWatch(): WorkerWatch {
  const watched = new Map<string, { readonly listeners: Set<() => void>; stop(): void }>();

  return {
    watch(address, onDead) {
      const { fingerprint } = address;
      const known = watched.get(fingerprint) ?? start(address);
      known.listeners.add(onDead);
      return () => {
        known.listeners.delete(onDead);
        if (known.listeners.size > 0) return;
        known.stop();
        if (watched.get(fingerprint) === known) watched.delete(fingerprint);
      };
    },
  };

  function start(address: HostAddress) {
    const listeners = new Set<() => void>();
    let failed = 0;
    let isChecking = false;
    const check = async (): Promise<void> => {
      if (isChecking) return;
      isChecking = true;
      failed = (await answers(address)) ? 0 : failed + 1;
      isChecking = false;
      if (failed < MAX_FAILED) return;
      for (const onDead of [...listeners]) onDead();
    };
    const timer = setInterval(() => void check(), CHECK_INTERVAL_MS);
    timer.unref();
    const entry = { listeners, stop: () => clearInterval(timer) };
    watched.set(address.fingerprint, entry);
    return entry;
  }
}

function answers(address: HostAddress): Promise<boolean> {
  return new Promise((resolve) => {
    connectToWorker(address, (error, socket) => {
      resolve(error === null);
      // In TLS 1.3 the worker completes the handshake after the client. `destroy` might prevent that.
      socket?.end(() => setTimeout(() => socket.destroy(), CHECK_INTERVAL_MS).unref());
    });
  });
}

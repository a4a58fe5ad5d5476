import type { Instance } from '@ephemera/domain';
import { ContainerStartError, signatureExpiry, startRefusal } from '@ephemera/lifecycle';
import type { Containers, StartRefusal, StartSigner } from '@ephemera/lifecycle';

/** Why a worker refuses a start. `replayed`: it has already removed the instance. */
export type RefusedStart = StartRefusal | 'replayed';

const REASONS: Readonly<Record<RefusedStart, string>> = {
  unsigned:
    'it has no signature. Set EPHEMERA_SIGNING_KEYS to the same value on all proxies and workers',
  invalid:
    'its signature does not match. Either it was changed in Redis, or the proxies and workers have different EPHEMERA_SIGNING_KEYS',
  expired: 'its signature has expired',
  replayed: 'this worker has already removed it',
};

/** How long a removed instance is remembered if its signature is unknown, ms. */
const UNKNOWN_EXPIRY_MS = 2 * 3_600_000;
/** Forget expired entries after this many removals. */
const PRUNE_AFTER = 1_000;

/**
 * Starts only instances that a process with one of the keys has signed, each until it is removed. This
 * is the last check before a container is created, so it covers every job and every repair that leads
 * there.
 *
 * `onRefused` is called before the start fails. `now` is the store's clock.
 */
export function withSignatureCheck(
  containers: Containers,
  signer: StartSigner,
  {
    onRefused,
    now,
  }: {
    readonly onRefused: (instance: Instance, reason: RefusedStart) => void;
    readonly now: () => number;
  },
): Containers {
  /** When the signatures of started, and of removed instances expire, by id. */
  const started = new Map<string, number>();
  const removed = new Map<string, number>();
  let removals = 0;
  const forgetExpired = () => {
    for (const known of [started, removed]) {
      for (const [id, expiresAt] of known) if (expiresAt < now()) known.delete(id);
    }
  };
  return {
    ...containers,
    async start(instance, ...rest) {
      const reason =
        startRefusal(signer, instance, now()) ??
        (signer.hasKeys && removed.has(instance.id) ? 'replayed' : undefined);
      if (reason !== undefined) {
        onRefused(instance, reason);
        throw new ContainerStartError(`This host refuses the instance: ${REASONS[reason]}.`);
      }
      if (signer.hasKeys) started.set(instance.id, signatureExpiry(instance));
      return containers.start(instance, ...rest);
    },
    async removeInstance(id, stopGrace) {
      await containers.removeInstance(id, stopGrace);
      removed.set(id, started.get(id) ?? now() + UNKNOWN_EXPIRY_MS);
      started.delete(id);
      removals += 1;
      if (removals % PRUNE_AFTER === 0) forgetExpired();
    },
  };
}

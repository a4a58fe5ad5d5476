import type { Instance } from '@ephemera/domain';
import type { KillJobs } from './ports.ts';

/** A new deadline: so many ms from now, or a moment (epoch ms); sooner only with `shorten`. */
export type Renewal = { readonly shorten: boolean } & (
  { readonly timeout: number } | { readonly expiresAt: number }
);

export type Renewed =
  | { readonly kind: 'renewed'; readonly instance: Instance; readonly shortened: boolean }
  /** Not ready yet: there is no lease to renew. */
  | { readonly kind: 'starting' }
  /** Its end came first. */
  | { readonly kind: 'ended'; readonly instance: Instance }
  | { readonly kind: 'absent' };

export interface Leases {
  /** One atomic step, judged by the store's clock: a renewal or an end, never half of each. */
  renew(id: string, renewal: Renewal): Promise<Renewed>;
  /** Notes that instances were used. */
  touch(ids: readonly string[]): Promise<void>;
}

export interface RenewPorts {
  readonly leases: Pick<Leases, 'renew'>;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  /** The store's clock. */
  readonly now: () => Promise<number>;
}

/**
 * Renews a lease. A later deadline needs no new kill job: the one that waits reads the lease when
 * it fires. For a sooner one the job is put in anew; where that fails, reconciliation ends it.
 */
export async function renew(ports: RenewPorts, id: string, renewal: Renewal): Promise<Renewed> {
  const { leases, killJobs, now } = ports;
  const renewed = await leases.renew(id, renewal);
  if (renewed.kind === 'renewed' && renewed.shortened) {
    const { instance } = renewed;
    await killJobs.cancel({ ...instance, supersedes: instance.generation });
    await killJobs.schedule(instance, Math.max(0, instance.expiresAt - (await now())));
  }
  return renewed;
}

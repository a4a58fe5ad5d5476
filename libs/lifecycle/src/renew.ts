import type { KillJobs, Leases, Renewal, Renewed } from './ports.ts';

export interface RenewPorts {
  readonly leases: Pick<Leases, 'renew'>;
  readonly killJobs: Pick<KillJobs, 'schedule' | 'cancel'>;
  /** The store's clock, epoch ms. */
  readonly now: () => Promise<number>;
}

/**
 * Renews a lease. A later deadline needs no new kill job: the existing job reads the lease when it
 * fires. For an earlier deadline the job is replaced. If that fails, reconciliation ends the
 * instance.
 */
export async function renew(ports: RenewPorts, id: string, renewal: Renewal): Promise<Renewed> {
  const { leases, killJobs, now } = ports;
  const renewed = await leases.renew(id, renewal);
  if (renewed.kind !== 'renewed') return renewed;
  const { instance, previousExpiresAt } = renewed;
  if (instance.expiresAt < previousExpiresAt) {
    await killJobs.cancel({ ...instance, supersedes: instance.generation });
    await killJobs.schedule(instance, Math.max(0, instance.expiresAt - (await now())));
  }
  return renewed;
}

import type { Producers, createDeliveries, createRefills } from '@ephemera/queue';
import type { Store, redisEventGroup } from '@ephemera/store';
import type { WorkerDependencies } from '@ephemera/worker';

type Docker = ReturnType<WorkerDependencies['connectDocker']>;

/** The ports of a worker and a proxy, by the names that faults use. */
interface Ports extends Pick<Store, 'instances' | 'intake' | 'startQueue' | 'pools' | 'leases'> {
  readonly killJobs: Producers['killJobs'];
  readonly spawns: Producers['spawns'];
  readonly killRequests: Producers['killRequests'];
  readonly events: ReturnType<typeof redisEventGroup>;
  readonly refills: ReturnType<typeof createRefills>;
  readonly deliveries: ReturnType<typeof createDeliveries>;
  readonly docker: Docker;
  readonly container: ReturnType<Docker['getContainer']>;
  readonly containers: ReturnType<WorkerDependencies['createContainers']>;
}

/** A call that a fault can name. Renaming or removing a port causes a type error here. */
export type PortCall =
  | { [Port in keyof Ports]: `${Port}.${keyof Ports[Port] & string}` }[keyof Ports]
  | 'probe'
  | 'deliver'
  /** The drain of a proxy. The scenario kills the proxy from outside. */
  | 'drain';

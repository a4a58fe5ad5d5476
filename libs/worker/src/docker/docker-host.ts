import type Docker from 'dockerode';
import type { ConcurrencyLimit } from '../concurrency-limit.ts';
import type { InstancesNetworks } from './instances-networks.ts';
import type { ImagePulls } from './pull-image.ts';

/** What is needed to run the containers of one daemon. */
export interface DockerHost {
  readonly docker: Docker;
  readonly namespace: string;
  /** The name of this daemon among the hosts. */
  readonly host: string;
  /** The store's clock. */
  readonly now: () => Promise<number>;
  readonly networks: Pick<InstancesNetworks, 'reserve'>;
  /** The resolvers of instances with egress. */
  readonly resolvers: readonly string[];
  readonly pulls: ImagePulls;
  /** Over how long the CPU time of an instance is counted, ms. */
  readonly cpuPeriod: number;
  /** Bounds how many containers are created and started at once. */
  readonly startLimit: ConcurrencyLimit;
  /** Keeps what a container last wrote; called when it has stopped, before it is removed. */
  readonly archiveLog?: ((id: string, container: Docker.Container) => Promise<void>) | undefined;
}

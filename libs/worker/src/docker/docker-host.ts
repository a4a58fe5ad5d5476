import type Docker from 'dockerode';
import type { ConcurrencyLimit } from '../concurrency-limit.ts';
import type { HostReach } from '../host-reach.ts';
import type { InstancesNetworks } from './instances-networks.ts';
import type { ImagePulls } from './pull-image.ts';

/** The services and settings that are needed to run containers on one daemon. */
export interface DockerHost {
  readonly docker: Docker;
  readonly namespace: string;
  /** The host id of this daemon. */
  readonly host: string;
  /** The store's clock. */
  readonly now: () => Promise<number>;
  readonly networks: Pick<InstancesNetworks, 'reserve'>;
  /** How proxies reach the instances. Default: `bridge`. */
  readonly reach?: HostReach | undefined;
  /** The resolvers of instances with egress. */
  readonly resolvers: readonly string[];
  readonly pulls: ImagePulls;
  /** Period of the CPU quota, ms. */
  readonly cpuPeriod: number;
  /** Limits concurrent creations and starts of containers. */
  readonly startLimit: ConcurrencyLimit;
  /** Why a container that allows file operations gets no helper for them. Default: ignored. */
  readonly onNoFilesHelper?: ((error: unknown) => void) | undefined;
  /** Archives the log of a container. Called after its stop and before its removal. */
  readonly archiveLog?: ((id: string, container: Docker.Container) => Promise<void>) | undefined;
}

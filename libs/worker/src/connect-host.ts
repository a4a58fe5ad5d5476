import { BootError } from '@ephemera/domain';
import type { Capacity } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Logger, Shutdown } from '@ephemera/process';
import { HOST_ALIVE_TIMEOUT_MS } from '@ephemera/store';
import type { Store } from '@ephemera/store';
import { hostCapacity, hostName, requireLimits, withinNetworks } from './docker/daemon-info.ts';
import { daemonMessage, withDeadline } from './docker/docker-client.ts';
import type { connectDocker, DockerClient as Docker } from './docker/docker-client.ts';
import { answerNamesHere, answerNamesInHostNetwork } from './docker/gateway-names.ts';
import type { GatewayNames } from './docker/gateway-names.ts';
import { DIRECT_ROUTING, requireDirectRouting } from './docker/direct-routing.ts';
import { ensureNetwork, findNetworks } from './docker/instances-network.ts';
import { instancesNetworks } from './docker/instances-networks.ts';
import type { InstancesNetworks } from './docker/instances-networks.ts';
import { runInHostNetwork } from './docker/run-on-host.ts';
import type { EgressRules } from './firewall-rules.ts';
import { createFirewall, runHere } from './firewall.ts';
import type { HostReach } from './host-reach.ts';
import { HostIdTakenError, hostRegistration, readBootId } from './host-registration.ts';
import type { HostRegistration } from './host-registration.ts';
import { CAPACITY_INTERVAL_MS, DEFAULT_TIMEOUT_MS } from './limits.ts';

/** Settings of a host: a Docker daemon with its networks and its firewall. */
export interface HostConfig {
  readonly namespace: string;
  readonly dockerHost: string;
  readonly hostId: string | undefined;
  readonly subnets: readonly string[] | undefined;
  readonly networkInstances: number;
  readonly firewall: 'auto' | 'required' | 'off';
  readonly firewallImage: string | undefined;
  readonly egress: EgressRules;
  /** Default: `bridge`. */
  readonly reach?: HostReach | undefined;
  readonly capacity: Capacity;
}

/**
 * The responders to names: in this process, if it runs on the Docker host, else in helper
 * containers of the firewall image.
 */
export function answeringNames(
  docker: Docker,
  { namespace, firewallImage }: Pick<HostConfig, 'namespace' | 'firewallImage'>,
): GatewayNames {
  const here = answerNamesHere();
  if (firewallImage === undefined) return here;
  const helpers = answerNamesInHostNetwork(docker, namespace, firewallImage);
  return {
    async ensure(network) {
      try {
        return await here.ensure(network);
      } catch (error) {
        // The gateway is not an address of this network namespace.
        if ((error as { code?: unknown }).code !== 'EADDRNOTAVAIL') throw error;
        return helpers.ensure(network);
      }
    },
    close() {
      here.close();
      helpers.close();
    },
  };
}

/** How a host is reached, and what follows the loss of its id. */
export interface HostDependencies {
  readonly connectDocker: typeof connectDocker;
  /** Called once the worker has stopped because another daemon uses its host id. */
  readonly onHostIdTaken: () => void;
}

/**
 * Connects to the Docker daemon, prepares its networks and its firewall, and registers it as a host.
 * The registration ends at shutdown. If another daemon takes the host id, the worker stops.
 * @throws BootError if the daemon cannot be used, or if another daemon uses the host id
 */
export async function connectHost(
  config: HostConfig,
  { connectDocker: connect, onHostIdTaken }: HostDependencies,
  store: Pick<Store, 'hostRegistry' | 'hosts'>,
  { logger, shutdown }: { readonly logger: Logger; readonly shutdown: Shutdown },
) {
  const { namespace } = config;
  const docker = connect(config.dockerHost);
  await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping()).catch((error: unknown) => {
    throw new BootError(
      `Docker does not answer at ${config.dockerHost}: ${daemonMessage(error)}. Start the Docker Engine, or set DOCKER_HOST.`,
    );
  });
  await requireLimits(docker);
  const host = config.hostId ?? (await hostName(docker));
  const { firewallImage } = config;
  const names = answeringNames(docker, config);
  shutdown.onShutdown('names', () => names.close());
  const isRouted = config.reach?.kind === 'routed';
  const networkOptions = isRouted ? DIRECT_ROUTING : {};
  const creation = { options: networkOptions };
  const network = await ensureNetwork(docker, namespace, config.subnets, 0, creation);
  const found = await findNetworks(docker, namespace);
  if (isRouted) await requireDirectRouting(docker, found);
  const managed: { networks?: InstancesNetworks } = {};
  // Register before any change: another daemon may use the same host id, and another worker of this
  // host may have set rules for another reach.
  const registration: HostRegistration = hostRegistration({
    registry: store.hostRegistry,
    host,
    bootId: await readBootId(),
    networks: () => managed.networks?.all ?? found,
    reach: config.reach,
    recheck: async () => managed.networks?.refresh(),
    logger,
  });
  await registration.start();
  shutdown.onShutdown('registration', () => registration.release());
  const prepare = async () => {
    const firewall = await createFirewall({
      network,
      mode: config.firewall,
      egress: config.egress,
      ...(config.reach && { reach: config.reach }),
      runOnHost:
        firewallImage === undefined ? runHere : runInHostNetwork(docker, namespace, firewallImage),
      names,
      logger,
    });
    const networks = await instancesNetworks({
      docker,
      namespace,
      subnets: config.subnets,
      portsPerNetwork: config.networkInstances,
      prepare: (item) => firewall.secure(item),
      claim: (item) => registration.claim(item),
      keep: (items) => firewall.keep(items),
      networkOptions,
      logger,
    });
    return { firewall, networks };
  };
  const { firewall, networks } = await prepare().catch(async (error: unknown) => {
    // So that a worker with a corrected setting need not wait for the heartbeat to expire.
    await registration.release().catch(() => undefined);
    throw error;
  });
  managed.networks = networks;
  let registeredAt = performance.now();
  const capacity = await hostCapacity(docker, config.capacity);
  let [capacityText, capacityAt] = ['', 0];
  await store.hosts.setCapacity(host, capacity);

  return {
    ...{ host, docker, capacity, networks, firewall, registration },
    ...{
      sendHeartbeat,
      registerAgain,
      requireRegistration,
      reservePort,
      keepNetworks,
      assertFirewall,
    },
  };

  async function sendHeartbeat(): Promise<void> {
    await withDeadline('ping', DEFAULT_TIMEOUT_MS, docker.ping());
    await heartbeat();
    await reportCapacity();
  }

  /** Registers the host in a Redis that has lost its data. */
  async function registerAgain(): Promise<void> {
    capacityText = '';
    await sendHeartbeat();
  }

  /** Writes a changed capacity, and any capacity after a while, in case Redis has lost it. */
  async function reportCapacity(): Promise<void> {
    const max = registration.conflict === undefined ? networks.max : 0;
    const current = withinNetworks(capacity, max);
    const text = JSON.stringify(current);
    if (text === capacityText && performance.now() < capacityAt + CAPACITY_INTERVAL_MS) return;
    await store.hosts.setCapacity(host, current);
    [capacityText, capacityAt] = [text, performance.now()];
  }

  /**
   * Registers the host again if another daemon may have taken its id meanwhile: a host counts as
   * dead after this time without a heartbeat.
   * @throws HostIdTakenError
   */
  async function requireRegistration(): Promise<void> {
    if (performance.now() > registeredAt + HOST_ALIVE_TIMEOUT_MS) await heartbeat();
  }

  /** Reserves a port on a network for a container. */
  function reservePort() {
    const { conflict } = registration;
    if (conflict !== undefined) throw new ContainerStartError(conflict);
    return networks.reserve();
  }

  async function keepNetworks(): Promise<void> {
    try {
      await networks.refresh();
    } finally {
      await firewall.assert();
    }
  }

  /** A restarted daemon may have rebuilt its iptables chains. */
  function assertFirewall(): void {
    firewall
      .assert()
      .catch((error: unknown) => logger.warn({ err: error }, 'firewall check failed'));
  }

  async function heartbeat(): Promise<void> {
    try {
      await registration.heartbeat();
      registeredAt = performance.now();
    } catch (error) {
      if (error instanceof HostIdTakenError) stopForOtherDaemon(error);
      throw error;
    }
  }

  /** Any further work would affect the instances of the other daemon. */
  function stopForOtherDaemon({ message }: HostIdTakenError): void {
    if (shutdown.stopping) return;
    logger.fatal({ host }, message);
    void shutdown.stop().finally(onHostIdTaken);
  }
}

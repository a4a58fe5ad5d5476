import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { ignoreStatus, withDeadline } from './docker-client.ts';
import type { InstancesNetwork } from './instances-network.ts';
import { inspectNetwork } from './instances-network.ts';

/** Number of bridge ports in use on a network, without the infrastructure. */
export async function countPorts(docker: Docker, name: string): Promise<number> {
  const found = await inspectNetwork(docker, name);
  return Object.values(found?.Containers ?? {}).filter(
    (networkContainer) => !isInfrastructure(found, networkContainer.IPv4Address),
  ).length;
}

/**
 * Connects the proxies and workers that run in containers on the first network to all other
 * networks. They can reach instances only on a shared network. Existing connections are unchanged.
 */
export async function connectInfrastructure(
  docker: Docker,
  [first, ...others]: readonly InstancesNetwork[],
): Promise<void> {
  if (first === undefined || others.length === 0) return;
  const base = await inspectNetwork(docker, first.name);
  const infrastructureIds = Object.entries(base?.Containers ?? {})
    .filter(([, { IPv4Address }]) => isInfrastructure(base, IPv4Address))
    .map(([id]) => id);
  for (const { name } of others) {
    const present = (await inspectNetwork(docker, name))?.Containers ?? {};
    for (const id of infrastructureIds.filter(
      (infrastructureId) => !(infrastructureId in present),
    )) {
      const call = docker.getNetwork(name).connect({ Container: id });
      // 403: another worker has connected it. 404: it has just exited.
      await ignoreStatus([403, 404], withDeadline('connect', DEFAULT_TIMEOUT_MS, call));
    }
  }
}

/** Disconnects proxies and workers from a network, so that it can be removed. */
export async function disconnectInfrastructure(docker: Docker, name: string): Promise<void> {
  const found = await inspectNetwork(docker, name);
  for (const [id, { IPv4Address }] of Object.entries(found?.Containers ?? {})) {
    if (!isInfrastructure(found, IPv4Address)) continue;
    const call = docker.getNetwork(name).disconnect({ Container: id, Force: true });
    await ignoreStatus([403, 404], withDeadline('disconnect', DEFAULT_TIMEOUT_MS, call));
  }
}

/** Whether an address (`10.231.0.2/16`) is in the first /24 of its network. */
function isInfrastructure(found: Docker.NetworkInspectInfo | undefined, address: string): boolean {
  const [a, b] = (found?.IPAM?.Config?.[0]?.Subnet ?? '').split('.');
  return address.startsWith(`${a}.${b}.0.`);
}

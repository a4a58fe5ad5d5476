import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS, ignoreStatus, withDeadline } from './deadline.ts';
import type { InstancesNetwork } from './instances-network.ts';
import { inspectNetwork } from './instances-network.ts';

/** How many instances have a port on a network: whatever runs there, the infrastructure aside. */
export async function countPorts(docker: Docker, name: string): Promise<number> {
  const found = await inspectNetwork(docker, name);
  return Object.values(found?.Containers ?? {}).filter(
    (networkContainer) => !isInfrastructure(found, networkContainer.IPv4Address),
  ).length;
}

/**
 * Brings the proxies and workers that are containers on the first network onto all others: they
 * reach only what they share a network with. One that is there already is left alone.
 */
export async function connectInfrastructure(
  docker: Docker,
  [first, ...others]: readonly InstancesNetwork[],
): Promise<void> {
  if (first === undefined || others.length === 0) return;
  const base = await inspectNetwork(docker, first.name);
  const wanted = Object.entries(base?.Containers ?? {})
    .filter(([, { IPv4Address }]) => isInfrastructure(base, IPv4Address))
    .map(([id]) => id);
  for (const { name } of others) {
    const present = (await inspectNetwork(docker, name))?.Containers ?? {};
    for (const id of wanted.filter((text) => !(text in present))) {
      const call = docker.getNetwork(name).connect({ Container: id });
      // 403: another worker was first. 404: it has just ended.
      await ignoreStatus([403, 404], withDeadline('connect', DEFAULT_TIMEOUT_MS, call));
    }
  }
}

/** Takes them off again, so that the network can be removed. */
export async function disconnectInfrastructure(docker: Docker, name: string): Promise<void> {
  const found = await inspectNetwork(docker, name);
  for (const [id, { IPv4Address }] of Object.entries(found?.Containers ?? {})) {
    if (!isInfrastructure(found, IPv4Address)) continue;
    const call = docker.getNetwork(name).disconnect({ Container: id, Force: true });
    await ignoreStatus([403, 404], withDeadline('disconnect', DEFAULT_TIMEOUT_MS, call));
  }
}

/** Whether an address of a network (`10.231.0.2/16`) is of the /24 at its start. */
function isInfrastructure(found: Docker.NetworkInspectInfo | undefined, address: string): boolean {
  const [a, b] = (found?.IPAM?.Config?.[0]?.Subnet ?? '').split('.');
  return address.startsWith(`${a}.${b}.0.`);
}

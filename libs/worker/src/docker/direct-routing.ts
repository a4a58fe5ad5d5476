import { BootError } from '@ephemera/domain';
import type Docker from 'dockerode';
import { DEFAULT_TIMEOUT_MS } from '../limits.ts';
import { withDeadline } from './docker-client.ts';
import { inspectNetwork } from './instances-network.ts';
import type { InstancesNetwork } from './instances-network.ts';

const MODE = 'com.docker.network.bridge.gateway_mode_ipv4';

/**
 * The options of a network whose containers other machines reach at their own addresses. Docker 28 and
 * later drops such packets without them; earlier versions ignore them.
 */
export const DIRECT_ROUTING: Readonly<Record<string, string>> = { [MODE]: 'nat-unprotected' };

/** The first major version that drops packets which other machines route to a container. */
const DROPS_SINCE = 28;

/** Why other machines do not reach the containers of a network; undefined if they do. */
export function directRoutingIssue(
  version: string,
  { name, options }: { readonly name: string; readonly options: Readonly<Record<string, string>> },
): string | undefined {
  if (Number.parseInt(version, 10) < DROPS_SINCE) return undefined;
  if (['nat-unprotected', 'routed'].includes(options[MODE] ?? '')) return undefined;
  return (
    `Docker ${version} drops packets that other machines route to the network "${name}", because it was ` +
    `created without ${MODE}=nat-unprotected. EPHEMERA_REACH=routed needs that. Remove the network: the worker ` +
    'creates it again with the option.'
  );
}

/** @throws BootError if other machines cannot reach the containers of these networks */
export async function requireDirectRouting(
  docker: Docker,
  networks: readonly Pick<InstancesNetwork, 'name'>[],
): Promise<void> {
  const { Version } = await withDeadline('version', DEFAULT_TIMEOUT_MS, docker.version());
  for (const { name } of networks) {
    const found = await inspectNetwork(docker, name);
    const issue = found && directRoutingIssue(Version, { name, options: found.Options ?? {} });
    if (issue !== undefined) throw new BootError(issue);
  }
}

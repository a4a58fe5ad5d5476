import type { PublishedPorts, Template } from '@ephemera/domain';
import type { PortMap } from 'dockerode';
import type { HostReach } from '../host-reach.ts';

/**
 * Chooses a port of the host for each port of a template. Each comes from the address sequence of
 * the host, which walks the whole range before a port repeats. Undefined if the host publishes none.
 * @param index the index of the container's address; the first port uses it too
 */
export async function choosePorts(
  reach: HostReach | undefined,
  { port, ports }: Pick<Template, 'port' | 'ports'>,
  index: number,
  nextIndex: () => Promise<number>,
): Promise<PublishedPorts | undefined> {
  if (reach?.kind !== 'published') return undefined;
  const { first, last } = reach.ports;
  const chosen: Record<string, number> = {};
  let at: number | undefined = index;
  for (const containerPort of new Set([port, ...Object.values(ports)])) {
    chosen[containerPort] = first + ((at ?? (await nextIndex())) % (last - first + 1));
    at = undefined;
  }
  return { address: reach.address, ports: chosen };
}

/** The published ports in the form of the Docker API. */
export function portBindings({ address, ports }: PublishedPorts): PortMap {
  return Object.fromEntries(
    Object.entries(ports).map(([containerPort, port]) => [
      `${containerPort}/tcp`,
      [{ HostIp: address, HostPort: String(port) }],
    ]),
  );
}

/** Docker publishes only ports that a container exposes. */
export function exposedPorts({ ports }: PublishedPorts): Record<string, object> {
  return Object.fromEntries(Object.keys(ports).map((port) => [`${port}/tcp`, {}]));
}

/** The published ports of a container that exists. Undefined if it has none. */
export function readPublishedPorts(seen: {
  readonly HostConfig: { readonly PortBindings?: unknown };
}): PublishedPorts | undefined {
  const bindings = (seen.HostConfig.PortBindings ?? {}) as PortMap;
  const ports: Record<string, number> = {};
  let address: string | undefined;
  for (const [name, [binding] = []] of Object.entries(bindings)) {
    if (!binding) continue;
    ports[name.replace('/tcp', '')] = Number(binding.HostPort);
    address = binding.HostIp;
  }
  return address === undefined ? undefined : { address, ports };
}

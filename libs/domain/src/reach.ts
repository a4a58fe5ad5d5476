/**
 * How proxies connect to the instances of a host.
 *
 * - `bridge`: at the address of the container. The proxies run on the machine of the host.
 * - `published`: at ports of the host's own address.
 * - `routed`: at the address of the container, by a route through the host.
 */
export const REACHES = ['bridge', 'published', 'routed'] as const;

export type Reach = (typeof REACHES)[number];

/** The ports of a host that lead to one instance. */
export interface PublishedPorts {
  /** An address of the host. */
  readonly address: string;
  /** The port of the host, by container port. */
  readonly ports: Readonly<Record<string, number>>;
}

/** Where a proxy connects to. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * Where a proxy connects to for a container port. A port that is not published has the port 0, which
 * no host registers.
 */
export function endpointOf(
  {
    address,
    published,
  }: { readonly address: string; readonly published?: PublishedPorts | undefined },
  port: number,
): Endpoint {
  if (!published) return { address, port };
  return { address: published.address, port: published.ports[port] ?? 0 };
}

import { BootError } from '@ephemera/domain';

/** The address of a Docker Engine. */
export type DockerEndpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export const defaultDockerEndpoint: DockerEndpoint = { kind: 'unix', path: '/var/run/docker.sock' };

/**
 * Parses `DOCKER_HOST`: `unix:///path` or `tcp://host:port` (default port 2375).
 *
 * @throws {BootError} for any other form, including ssh
 */
export function parseDockerHost(text: string): DockerEndpoint {
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length);
    if (path.startsWith('/')) return { kind: 'unix', path };
  }
  if (text.startsWith('tcp://') && URL.canParse(text)) {
    const { hostname, port } = new URL(text);
    if (hostname !== '') {
      return { kind: 'tcp', host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 2375) };
    }
  }
  throw new BootError(`DOCKER_HOST is "${text}"; it must be unix:///path or tcp://host:port.`);
}

export function describeEndpoint(endpoint: DockerEndpoint): string {
  if (endpoint.kind === 'unix') return `unix://${endpoint.path}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `tcp://${host}:${endpoint.port}`;
}

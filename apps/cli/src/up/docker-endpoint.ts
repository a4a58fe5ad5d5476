import { request } from 'node:http';
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

/** The result of pinging a Docker Engine. */
export type DockerAnswer =
  | { readonly kind: 'running'; readonly engine: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'broken'; readonly problem: string };

/** Sends `GET /_ping`, and waits at most `timeoutMs`. Never throws. */
export function pingDocker(endpoint: DockerEndpoint, timeoutMs = 5_000): Promise<DockerAnswer> {
  const where =
    endpoint.kind === 'unix'
      ? { socketPath: endpoint.path }
      : { host: endpoint.host, port: endpoint.port };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ ...where, path: '/_ping', agent: false, signal }, (answer) => {
      answer.resume();
      const { server, 'api-version': api } = answer.headers;
      if (answer.statusCode === 200 && api !== undefined) {
        resolve({ kind: 'running', engine: engineName(String(server)) });
      } else {
        resolve({ kind: 'broken', problem: `GET /_ping answered ${answer.statusCode}` });
      }
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve({ kind: 'absent' });
      else if (error.code === 'EACCES') resolve({ kind: 'forbidden' });
      else resolve({ kind: 'broken', problem: signal.aborted ? 'no answer' : error.message });
    });
    asked.end();
  });
}

/** `Docker/20.10.24+dfsg1 (linux)` → `Docker 20.10.24`. */
function engineName(server: string): string {
  const version = /^Docker\/([\d.]+)/.exec(server)?.[1];
  return version === undefined ? 'Docker' : `Docker ${version}`;
}

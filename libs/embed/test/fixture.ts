import { execFile } from 'node:child_process';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import type { Deployment } from '@ephemera/test-support';
import type { EphemeraOptions } from '../src/index.ts';

const run = promisify(execFile);

/** A template of the demo image that starts fast and needs little. */
export const DEMO = {
  image: 'ephemera/demo',
  port: 8080,
  ready: { http: '/id', within: '60s' },
  stopGrace: '0s',
  limits: { memory: '64m', cpus: 0.5, pids: 64 },
  tmpfs: { '/tmp': '8m' },
} as const;

/** The handshake of RFC 6455 section 1.3, whose answer is known. */
export const WEBSOCKET_KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** Accepts every WebSocket with the key above, and sends back what it gets. */
export const ECHO = {
  ...DEMO,
  ready: { tcp: true as const },
  command: [
    'nc',
    ...['-ll', '-p', '8080', '-e', '/bin/sh', '-c'],
    'while read -r line; do [ ${#line} -le 1 ] && break; done; ' +
      `printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ${ACCEPT}\\r\\n\\r\\n'; exec cat`,
  ],
};

/** The options that join a deployment. */
export function joining(
  { redis, namespace }: Pick<Deployment, 'redis' | 'namespace'>,
  publicUrl: string,
): Pick<EphemeraOptions, 'redis' | 'namespace' | 'publicUrl' | 'logLevel'> {
  return { redis: redis.url, namespace, publicUrl, logLevel: 'error' };
}

/** Listens on a free loopback port, and returns it. */
export async function listenOn(server: Server, port = 0): Promise<number> {
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Ids of the instances of a namespace that have a container. */
export async function containersOf(namespace: string): Promise<string[]> {
  const filter = `label=ephemera.namespace=${namespace}`;
  const format = '{{.Label "ephemera.instance"}}';
  const { stdout } = await run('docker', ['ps', '-a', '--filter', filter, '--format', format]);
  return stdout.split('\n').filter(Boolean);
}

import { connect } from 'node:net';
import { join } from 'node:path';
import { type Contender, startHaproxy } from '../contender.ts';

export interface Balancer extends Contender {
  /** Returns haproxy's server states: `show stat` as CSV. */
  readonly stats: () => Promise<string>;
}

export interface Behind {
  readonly publicPort: number;
  readonly adminPort: number;
}

export interface BalancerOptions {
  /** How long idle connections to replicas are kept. */
  readonly idleMs?: number;
  /** How long idle client connections are kept. */
  readonly clientMs?: number;
  /** Whether it checks the readiness of the replicas; otherwise all count as ready. */
  readonly checks?: boolean;
}

/**
 * Debian's haproxy in front of replicas, configured like an operator would. It selects servers by
 * their readiness checks.
 */
export async function startBalancer(
  behind: readonly Behind[],
  { idleMs = 60_000, clientMs = 75_000, checks = true }: BalancerOptions = {},
): Promise<Balancer> {
  const servers = behind.map(
    ({ publicPort, adminPort }, index) =>
      `  server r${index} 127.0.0.1:${publicPort}` +
      (checks ? ` check port ${adminPort} inter 200ms fall 1 rise 1` : ''),
  );
  let socket = '';
  const haproxy = await startHaproxy((port, folder) => {
    socket = join(folder, 'stats.sock');
    return text({ port, socket, idleMs, clientMs }, servers);
  });
  return { ...haproxy, stats: () => ask(socket, 'show stat\n') };
}

function text(
  frame: { port: number; socket: string; idleMs: number; clientMs: number },
  servers: readonly string[],
): string {
  const { port, socket, idleMs, clientMs } = frame;
  return `global
  maxconn 8000
  stats socket ${socket}
defaults
  mode http
  timeout connect 2s
  timeout client ${clientMs}ms
  timeout server 75s
  timeout http-keep-alive ${clientMs}ms
  timeout check 2s
frontend in
  bind 127.0.0.1:${port}
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  http-reuse always
  default-server pool-purge-delay ${idleMs}ms pool-max-conn -1 pool-low-conn 10000
${servers.join('\n')}
`;
}

async function ask(socket: string, question: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const connection = connect(socket, () => connection.write(question));
  let answer = '';
  connection.on('data', (data) => (answer += data.toString('utf8')));
  connection.on('end', () => resolve(answer));
  connection.on('error', reject);
  return await promise;
}

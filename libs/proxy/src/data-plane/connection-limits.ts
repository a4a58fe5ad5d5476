import type { Server } from 'node:http';
import type { BlockList, DropArgument, Socket } from 'node:net';
import { clientKeyOf, isTrusted, peerAddress } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import {
  CONNECTIONS_PER_ADDRESS,
  MAX_ADMIN_CONNECTIONS,
  MAX_CLIENT_CONNECTIONS,
  REFUSAL_LOG_INTERVAL_MS,
  RESERVED_DESCRIPTORS,
} from './limits.ts';

/**
 * Why a connection was refused: its address has too many, the replica has too many, or the instance
 * has too many WebSockets.
 */
export type ConnectionRefusal = 'address' | 'total' | 'instance';

/** Limits of the connections of one port. */
export interface ConnectionLimits {
  /** All connections. Default: those of a public port, by the descriptors of this process. */
  readonly total?: number;
  /** Connections of one IPv4 address or IPv6 /64; at most half of `total`. */
  readonly perAddress?: number;
  /** Load balancers, which have no limit of their own: their clients share their address. */
  readonly trusted?: BlockList | undefined;
  readonly onRefused?: (reason: ConnectionRefusal) => void;
  readonly logger?: Pick<Logger, 'warn'>;
}

/** How many connections the ports of a process may accept. */
interface PortShares {
  /** Of the public port. Each client may need a second descriptor, for its instance. */
  readonly clients: number;
  /** Of the admin port. Each may need a second descriptor, for the worker of a host. */
  readonly admin: number;
}

/**
 * Divides the descriptors of a process between its ports. The reserve serves Redis, files, and idle
 * connections to instances.
 *
 * @param descriptors the limit of open files of the process
 */
export function portSharesOf(descriptors: number): PortShares {
  const reserved = Math.min(RESERVED_DESCRIPTORS, Math.ceil(descriptors / 4));
  const pairs = Math.floor((descriptors - reserved) / 2);
  const admin = Math.min(MAX_ADMIN_CONNECTIONS, Math.max(1, Math.floor(pairs / 10)));
  return { admin, clients: Math.min(MAX_CLIENT_CONNECTIONS, Math.max(1, pairs - admin)) };
}

/** How many connections the admin port of this process may accept. */
export function maxAdminConnections(): number {
  return portSharesOf(descriptorLimit()).admin;
}

/** The soft limit of open files (RLIMIT_NOFILE), which Node raises to the hard one at its start. */
function descriptorLimit(): number {
  // Otherwise the report resolves the names of all peers.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as {
    readonly userLimits: { readonly open_files: { readonly soft: number | 'unlimited' } };
  };
  const { soft } = userLimits.open_files;
  return soft === 'unlimited' ? Infinity : soft;
}

/**
 * Bounds the connections of a server, so that neither one client nor all clients together take the
 * descriptors that other parts need. A connection over a bound is closed before it is read.
 */
export function limitConnections(server: Server, limits: ConnectionLimits): void {
  const total = limits.total ?? portSharesOf(descriptorLimit()).clients;
  const perAddress = Math.min(
    limits.perAddress ?? CONNECTIONS_PER_ADDRESS,
    Math.max(1, Math.floor(total / 2)),
  );
  const { trusted, onRefused, logger } = limits;
  const open = new Map<string, number>();
  const log = { address: logRefusals(logger), total: logRefusals(logger) };
  server.maxConnections = total;
  server.on('drop', ({ remoteAddress }: DropArgument = {}) => {
    onRefused?.('total');
    log.total('connection refused: the replica has too many', remoteAddress, total);
  });
  // Before the listener of node:http, which reads the connection.
  server.prependListener('connection', (socket: Socket) => {
    const address = peerAddress(socket.remoteAddress);
    if (trusted !== undefined && isTrusted(address, trusted)) return;
    const key = clientKeyOf(address);
    const count = open.get(key) ?? 0;
    if (count >= perAddress) {
      socket.destroy();
      onRefused?.('address');
      log.address('connection refused: its address has too many', address, perAddress);
      return;
    }
    open.set(key, count + 1);
    socket.once('close', () => {
      const left = (open.get(key) ?? 1) - 1;
      if (left > 0) open.set(key, left);
      else open.delete(key);
    });
  });
}

/** Logs at most one line per interval, with the number of refusals since the line before. */
function logRefusals(
  logger: ConnectionLimits['logger'],
): (message: string, address: string | undefined, limit: number) => void {
  let refused = 0;
  let quietUntil = Number.NEGATIVE_INFINITY;
  return (message, address, limit) => {
    refused++;
    const now = performance.now();
    if (now < quietUntil) return;
    quietUntil = now + REFUSAL_LOG_INTERVAL_MS;
    logger?.warn({ address, limit, refused }, message);
    refused = 0;
  };
}

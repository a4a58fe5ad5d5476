import { text } from 'node:stream/consumers';
import type {
  HostReplyTo,
  HostRequest,
  HostRequestInput,
  HostRpc,
  HostTarget,
} from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { HostConnections, HostResponse } from './host-connections.ts';

/**
 * Sends the requests to hosts over their connections. `overRedis` is for hosts without one, whose
 * workers have no signing keys, and for small requests to a host that this proxy cannot reach. Logs
 * are not small: where a connection is registered, no line of them passes Redis.
 */
export function connectedHostRpc(
  connections: HostConnections,
  overRedis: HostRpc,
  logger: Logger,
): HostRpc {
  return {
    async request<A extends HostRequestInput>(host: string, request: A & HostTarget) {
      const result = await connections.request(callOf(host, request));
      if (result.kind === 'response') return read<A>(result);
      const { kind, detail } = result;
      if (kind === 'gone') return { kind: 'superseded' };
      if (kind === 'unregistered') return overRedis.request(host, request);
      logger.warn({ host, id: request.id, op: request.op, kind, detail }, 'host not reached');
      const isSmall = request.op !== 'logs';
      return kind === 'unreachable' && isSmall ? overRedis.request(host, request) : undefined;
    },
  };
}

function callOf(host: string, { op, id, generation, ...input }: HostRequest) {
  const query = { request: JSON.stringify(input) };
  return { host, id, generation, operation: op, query, isRepeatable: true };
}

async function read<A extends HostRequestInput>({
  status,
  body,
}: HostResponse): Promise<HostReplyTo<A> | undefined> {
  try {
    const answer = await text(body);
    if (status === 200) return JSON.parse(answer) as HostReplyTo<A>;
    return { kind: 'failed', message: `the worker answered ${status}` };
  } catch {
    // The connection was lost.
    return undefined;
  }
}

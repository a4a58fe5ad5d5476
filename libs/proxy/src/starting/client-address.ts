import type { IncomingMessage } from 'node:http';
import type { BlockList } from 'node:net';
import { clientAddressBehind } from '@ephemera/http';
import { connectionOf } from '../data-plane/client-connection.ts';

/** The client address of a request, behind trusted load balancers. */
export function clientAddress(req: IncomingMessage, trusted: BlockList): string {
  const { address } = connectionOf(req.socket, trusted);
  return clientAddressBehind(address, req.headers['x-forwarded-for'], trusted);
}

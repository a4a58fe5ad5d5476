import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { BlockList } from 'node:net';
import { originAddress } from '@ephemera/http';
import { clientConnectionOf } from '../data-plane/client-connection.ts';

/** The address that a request came from, behind load balancers that are trusted. */
export function clientAddress(req: IncomingMessage, trusted: BlockList): string {
  const { address } = clientConnectionOf(req.socket, trusted);
  return originAddress(address, req.headers['x-forwarded-for'], trusted);
}

/** What counts as one client: an IPv4 address, or the /64 that an IPv6 subscriber is given. */
export function clientKeyOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.toLowerCase().split('%', 1)[0]?.split('::') ?? [];
  const before = head.split(':').filter(Boolean);
  const after = tail?.split(':').filter(Boolean) ?? [];
  const gap = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array<string>(Math.max(0, gap)).fill('0'), ...after];
  const prefix = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}

import { BlockList } from 'node:net';

/** Private, link-local and reserved ranges (RFC 6890). No instance can reach them. */
export const BLOCKED_RANGES: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  // The metadata service of Azure, the only one at a public address.
  '168.63.129.16/32',
  // Multicast, reserved, broadcast.
  '224.0.0.0/3',
];

/** Whether an IPv4 address is in one of the ranges (CIDR). */
export function isInRanges(address: string, ranges: readonly string[]): boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [base = '', bits = '32'] = range.split('/');
    list.addSubnet(base, Number(bits), 'ipv4');
  }
  return list.check(address, 'ipv4');
}

import { BlockList, isIP, isIPv6 } from 'node:net';

/** Parses addresses and CIDRs. @throws Error that names an entry which is neither */
export function parseTrustedProxies(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const size = family === 'ipv6' ? 128 : 32;
    const length = bits === undefined ? size : Number(bits);
    if (isIP(address) === 0 || !(Number.isInteger(length) && length >= 0 && length <= size)) {
      throw new Error(`${entry} is neither an address nor a CIDR`);
    }
    list.addSubnet(address, length, family);
  }
  return list;
}

/** The address of a peer. A dual-stack listener reports IPv4 peers as `::ffff:a.b.c.d`. */
export function peerAddress(remote: string | undefined): string {
  const address = remote ?? 'unknown';
  return /^::ffff:\d+\./i.test(address) ? address.slice(7) : address;
}

export function isTrusted(address: string, trusted: BlockList): boolean {
  return isIP(address) !== 0 && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/**
 * The client address of a request behind trusted load balancers: the last address in
 * X-Forwarded-For that is not a trusted proxy. Addresses before it were sent by the client.
 */
export function clientAddressBehind(
  peer: string,
  forwardedFor: string | readonly string[] | undefined,
  trusted: BlockList,
): string {
  if (!isTrusted(peer, trusted)) return peer;
  const hops = [forwardedFor ?? []].flat().join(',').split(',');
  let nearest = peer;
  for (const hop of hops.reverse().map((text) => peerAddress(text.trim()))) {
    if (isIP(hop) === 0) return nearest;
    nearest = hop;
    if (!isTrusted(hop, trusted)) return hop;
  }
  return nearest;
}

/** The key of one client for limits: its IPv4 address, or the /64 that an IPv6 subscriber controls. */
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

import { BlockList, isIP, isIPv6 } from 'node:net';

/** Reads addresses and CIDRs. @throws Error naming what is neither */
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

/** A peer's address; a dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d. */
export function peerAddress(remote: string | undefined): string {
  const address = remote ?? 'unknown';
  return /^::ffff:\d+\./i.test(address) ? address.slice(7) : address;
}

export function isTrusted(address: string, trusted: BlockList): boolean {
  return isIP(address) !== 0 && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/**
 * Where a request came from, behind load balancers that are trusted. Only what they wrote
 * themselves is believed: the last address in X-Forwarded-For that is none of theirs.
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

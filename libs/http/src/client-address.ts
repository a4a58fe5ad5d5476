import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net';

/** Parses addresses and CIDRs. @throws Error that names an entry which is neither */
export function parseTrustedProxies(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    const size = family === 'ipv6' ? 128 : 32;
    const length = bits === undefined ? size : /^\d{1,3}$/.test(bits) ? Number(bits) : NaN;
    if (isIP(address) === 0 || !(length <= size)) {
      throw new Error(`${entry} is neither an address nor a CIDR`);
    }
    list.addSubnet(address, length, family);
  }
  return list;
}

/** The address of a peer, in the form of `addressOf`. */
export function peerAddress(remote: string | undefined): string {
  return addressOf(remote ?? '') ?? 'unknown';
}

/**
 * An address in the one form that keys, logs and fields use: IPv6 as in RFC 5952 without a zone id,
 * and IPv4 where a dual-stack listener reports `::ffff:a.b.c.d`. Undefined if it is no address.
 */
function addressOf(text: string): string | undefined {
  const [address = ''] = text.split('%', 1);
  const family = isIP(address);
  if (family !== 6) return family === 4 ? address : undefined;
  const plain = new SocketAddress({ address, family: 'ipv6' }).address;
  return /^::ffff:\d+\./.test(plain) ? plain.slice(7) : plain;
}

/** An identifier by which a proxy hides an address (RFC 7239 section 6.3). */
const OBFUSCATED = /^_[\w.-]{1,64}$/;

/**
 * The client in one member of X-Forwarded-For. Load balancers write an address alone, in brackets,
 * in quotes, with a port, or with several of these. An obfuscated identifier stands for its client.
 * Undefined for `unknown` and for any other text.
 */
function clientIn(member: string): string | undefined {
  const text = member.replace(/^"(.*)"$/, '$1');
  if (OBFUSCATED.test(text)) return text;
  // A port behind an IPv6 address without brackets is recognised only where no group is missing.
  return addressOf(text) ?? addressOf(text.replace(/:\w*$/, '').replace(/^\[(.*)\]$/, '$1'));
}

export function isTrusted(address: string, trusted: BlockList): boolean {
  return isIP(address) !== 0 && trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/**
 * The client address of a request behind trusted load balancers: the last member of X-Forwarded-For
 * that is not a trusted proxy. Members before it were sent by the client. Where a trusted proxy
 * names no client (`unknown`), that proxy is the client.
 *
 * @returns an address, or an obfuscated identifier, which begins with an underscore
 */
export function clientAddressBehind(
  peer: string,
  forwardedFor: string | readonly string[] | undefined,
  trusted: BlockList,
): string {
  if (!isTrusted(peer, trusted)) return peer;
  let nearest = peer;
  const members = [forwardedFor ?? []].flat().join(',').split(',');
  for (const member of members.reverse().map((text) => text.trim())) {
    // Recipients ignore empty members of a list (RFC 9110 section 5.6.1.2).
    if (member === '') continue;
    const client = clientIn(member);
    if (client === undefined) return nearest;
    nearest = client;
    if (!isTrusted(client, trusted)) return client;
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

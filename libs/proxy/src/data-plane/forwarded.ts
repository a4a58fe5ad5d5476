import { originAddress } from '@ephemera/http';
import type { Peer } from './peer.ts';

/** What a trusted load balancer said of the client; lists are joined as RFC 9110 5.3 has it. */
export interface Said {
  for: string | undefined;
  proto: string | undefined;
  host: string | undefined;
  prefix: string | undefined;
  realIp: string | undefined;
  forwarded: string | undefined;
}

/**
 * The header lines that tell the instance who asks, how and by which name (X-Forwarded-*,
 * X-Real-IP, RFC 7239 Forwarded). A trusted peer's are kept and added to; anybody else's never
 * came this far.
 *
 * @param prefix what was taken off the path; empty where nothing was
 */
export function forwardedLines(
  peer: Peer,
  host: string,
  prefix: string,
  said: Said | undefined,
): string {
  const { address, trusted } = peer;
  if (said === undefined) {
    if (peer.described?.host !== host) peer.described = { host, lines: describe(address, host) };
    const { lines } = peer.described;
    return prefix === '' ? lines : `${lines}x-forwarded-prefix: ${prefix}\r\n`;
  }
  const outer = said.prefix?.replace(/\/$/, '') ?? '';
  const whole = outer + prefix;
  return (
    `x-forwarded-for: ${said.for === undefined ? '' : `${said.for}, `}${address}\r\n` +
    `x-real-ip: ${said.for === undefined ? (said.realIp ?? address) : originAddress(address, said.for, trusted)}\r\n` +
    `x-forwarded-proto: ${said.proto ?? 'http'}\r\n` +
    `x-forwarded-host: ${said.host ?? host}\r\n` +
    (whole === '' ? '' : `x-forwarded-prefix: ${whole}\r\n`) +
    `forwarded: ${said.forwarded === undefined ? '' : `${said.forwarded}, `}` +
    `${element(address, host, 'http')}\r\n`
  );
}

function describe(address: string, host: string): string {
  return (
    `x-forwarded-for: ${address}\r\nx-real-ip: ${address}\r\n` +
    `x-forwarded-proto: http\r\nx-forwarded-host: ${host}\r\n` +
    `forwarded: ${element(address, host, 'http')}\r\n`
  );
}

/** One hop as RFC 7239 section 4 writes it; a value with a colon or bracket must be quoted. */
function element(address: string, host: string, proto: string): string {
  const node = address.includes(':') ? `"[${address}]"` : address;
  const name = /^[\w.~-]+$/.test(host) ? host : `"${host}"`;
  return `for=${node};host=${name};proto=${proto}`;
}

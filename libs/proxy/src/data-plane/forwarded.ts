import { originAddress } from '@ephemera/http';
import type { ClientConnection } from './client-connection.ts';

/** What a trusted load balancer said of the client; lists are joined as RFC 9110 5.3 has it. */
export interface ForwardedHeaders {
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
  client: ClientConnection,
  host: string,
  prefix: string,
  forwarded: ForwardedHeaders | undefined,
): string {
  const { address, trusted } = client;
  if (forwarded === undefined) {
    if (client.described?.host !== host)
      client.described = { host, lines: describe(address, host) };
    const { lines } = client.described;
    return prefix === '' ? lines : `${lines}x-forwarded-prefix: ${prefix}\r\n`;
  }
  const outer = forwarded.prefix?.replace(/\/$/, '') ?? '';
  const whole = outer + prefix;
  return (
    `x-forwarded-for: ${forwarded.for === undefined ? '' : `${forwarded.for}, `}${address}\r\n` +
    `x-real-ip: ${forwarded.for === undefined ? (forwarded.realIp ?? address) : originAddress(address, forwarded.for, trusted)}\r\n` +
    `x-forwarded-proto: ${forwarded.proto ?? 'http'}\r\n` +
    `x-forwarded-host: ${forwarded.host ?? host}\r\n` +
    (whole === '' ? '' : `x-forwarded-prefix: ${whole}\r\n`) +
    `forwarded: ${forwarded.forwarded === undefined ? '' : `${forwarded.forwarded}, `}` +
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

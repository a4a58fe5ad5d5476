import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { REFUSALS, type Refusal } from './refusal.ts';
import type { RequestHead } from './request-head.ts';

/** A nonce of 16 bytes in base64 (RFC 6455 4.1). */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * Checks a client's opening handshake (RFC 6455 4.2.1). A body has no place in one: whoever
 * reads it as frames and whoever reads it as a body would disagree on what follows.
 */
export function checkHandshake(req: IncomingMessage, head: RequestHead): Refusal | undefined {
  const { method, httpVersion, headers } = req;
  const isHandshake =
    method === 'GET' &&
    httpVersion === '1.1' &&
    head.upgrade?.toLowerCase() === 'websocket' &&
    head.contentLength === undefined &&
    !head.chunked &&
    !head.expectsContinue &&
    KEY.test(headers['sec-websocket-key'] ?? '');
  if (!isHandshake) return REFUSALS.upgrade;
  return headers['sec-websocket-version'] === '13' ? undefined : REFUSALS.webSocketVersion;
}

/** Whether an instance's 101 is the answer to this key: only then do both sides speak frames. */
export function accepts(headers: IncomingHttpHeaders, key: string | undefined): boolean {
  const wanted = createHash('sha1')
    .update(`${key ?? ''}${GUID}`)
    .digest('base64');
  return (
    headers.upgrade?.toLowerCase() === 'websocket' && headers['sec-websocket-accept'] === wanted
  );
}

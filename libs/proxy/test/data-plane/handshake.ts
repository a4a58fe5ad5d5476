import { createHash } from 'node:crypto';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** The expected `Sec-WebSocket-Accept` for the key of `handshake`. */
export const ACCEPT = createHash('sha1')
  .update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  .digest('base64');

/** A WebSocket handshake for an instance. @param lines more fields */
export const handshake = (id: string, below = '', lines = ''): string =>
  `GET /demo/${id}/${below} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n${lines}\r\n`;

/** A 101 response that accepts `handshake`. */
export const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

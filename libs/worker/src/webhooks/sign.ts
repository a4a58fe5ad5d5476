import { createHmac } from 'node:crypto';

/**
 * The value of `Ephemera-Signature`: when it was signed (Unix seconds), and the HMAC-SHA256, in
 * hex, of that number, a dot and the body as it is sent.
 */
export function sign(secret: string, body: string, seconds: number): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

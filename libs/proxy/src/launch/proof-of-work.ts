import { hash, randomBytes } from 'node:crypto';
import type { RedeemableGrant } from '@ephemera/lifecycle';
import type { SigningKeys } from '@ephemera/config';

/** How long a challenge is valid, ms. */
const WORK_VALIDITY_MS = 10 * 60_000;

/**
 * What a challenge is bound to. It is invalid for another template, another address, or fewer bits.
 */
export interface WorkTask {
  readonly template: string;
  /** Leading zero bits that the hash must have. */
  readonly bits: number;
  /** The client address that requested the challenge. */
  readonly clientKey: string;
}

/** Creates a stateless challenge: an expiry, a nonce, and a signature. */
export function makeChallenge(keys: SigningKeys, task: WorkTask, now: number): string {
  const text = `${now + WORK_VALIDITY_MS}.${randomBytes(16).toString('base64url')}`;
  return `${text}.${keys.sign('work', bind(text, task))}`;
}

/**
 * Verifies a proof of work, `challenge:number`, and returns its grant. Returns undefined if it is
 * invalid, was made for another task, or has expired. The grant is good for one instance.
 */
export function readWork(
  keys: SigningKeys,
  work: string,
  task: WorkTask,
  now: number,
): RedeemableGrant | undefined {
  const [, expiresAt = '', nonce = '', signature = ''] =
    /^(\d{1,16})\.([\w-]{22})\.([\w-]{43}):\d{1,16}$/.exec(work) ?? [];
  if (Number(expiresAt) <= now) return undefined;
  if (!keys.hasSigned('work', bind(`${expiresAt}.${nonce}`, task), signature)) return undefined;
  if (zeroBits(hash('sha256', work, 'buffer')) < task.bits) return undefined;
  return { kind: 'work', name: `work:${nonce}`, max: 1, expiresAt: Number(expiresAt) };
}

function bind(text: string, { template, bits, clientKey }: WorkTask): string {
  return [text, template, bits, clientKey].join('\n');
}

function zeroBits(digest: Buffer): number {
  let bits = 0;
  for (const byte of digest) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
}

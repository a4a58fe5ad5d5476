import { hash, randomBytes } from 'node:crypto';
import type { RedeemableGrant } from '@ephemera/lifecycle';
import type { SigningKeys } from '../starting/signing-keys.ts';

/** How long a challenge may be worked on, ms. */
const WORK_VALIDITY_MS = 10 * 60_000;

/** What a challenge is bound to: it is no use for another template, another address, or fewer bits. */
export interface WorkTask {
  readonly template: string;
  /** Zero bits that the hash begins with. */
  readonly bits: number;
  /** Who works: an address. */
  readonly who: string;
}

/** A challenge that no store has to remember: an end, something random, and a signature. */
export function makeChallenge(keys: SigningKeys, task: WorkTask, now: number): string {
  const text = `${now + WORK_VALIDITY_MS}.${randomBytes(16).toString('base64url')}`;
  return `${text}.${keys.sign('work', bind(text, task))}`;
}

/**
 * The voucher of work that was done, `challenge:number`; undefined where it was not, was for
 * something else, or comes too late. It is good for one instance.
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

function bind(text: string, { template, bits, who }: WorkTask): string {
  return [text, template, bits, who].join('\n');
}

function zeroBits(digest: Buffer): number {
  let bits = 0;
  for (const byte of digest) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24;
    bits += 8;
  }
  return bits;
}

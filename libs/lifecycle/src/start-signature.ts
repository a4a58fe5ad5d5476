import type { Instance, InstanceDraft } from '@ephemera/domain';
import type { PoolSpec } from './ports.ts';

// Workers take from Redis what they start. A client that can write to Redis could name any image and
// environment there. So the process that creates an instance signs it under a key that Redis does not
// hold, and the worker verifies the signature before it creates the container.

/** Signs and verifies; `SigningKeys` of `@ephemera/config` implements it. */
export interface StartSigner {
  /** False: no key is configured, so nothing is signed and nothing is verified. */
  readonly hasKeys: boolean;
  sign(purpose: 'start' | 'pool', text: string): string;
  hasSigned(purpose: 'start' | 'pool', text: string, signature: string): boolean;
}

/**
 * Why the signature of an instance is refused. `invalid` also covers a changed instance and an unknown
 * key.
 */
export type StartRefusal = 'unsigned' | 'invalid' | 'expired';

/**
 * A start may begin this much later than its timeouts say, ms: images are pulled, and jobs of dead
 * workers are taken over.
 */
const START_ALLOWANCE_MS = 3_600_000;

/**
 * Signs the start of one generation of an instance.
 *
 * @param now epoch ms
 * @returns the end of its validity (epoch ms), a dot, and the signature
 */
export function signStart(
  signer: StartSigner,
  draft: InstanceDraft,
  generation: number,
  now: number,
): string {
  const { whenFull, queueTimeout, ready } = draft.template;
  const queuedMs = whenFull === 'queue' ? queueTimeout : 0;
  const validUntil = Math.ceil(now + queuedMs + ready.within + START_ALLOWANCE_MS);
  return `${validUntil}.${signer.sign('start', signedText(draft, generation, validUntil))}`;
}

/** Returns why an instance must not start. Undefined if it may. */
export function startRefusal(
  signer: StartSigner,
  instance: Instance,
  now: number,
): StartRefusal | undefined {
  if (!signer.hasKeys) return undefined;
  if (instance.signature === undefined) return 'unsigned';
  const validUntil = signatureExpiry(instance);
  const signature = instance.signature.slice(instance.signature.indexOf('.') + 1);
  const text = signedText(instance, instance.generation, validUntil);
  if (!signer.hasSigned('start', text, signature)) return 'invalid';
  return validUntil < now ? 'expired' : undefined;
}

/** Until when the signature of an instance is valid, epoch ms. NaN if it has none. */
export function signatureExpiry({ signature = '' }: Pick<Instance, 'signature'>): number {
  return Number(/^(\d+)\./.exec(signature)?.[1]);
}

/** All that determines the container, and what binds it to one start. */
function signedText(draft: InstanceDraft, generation: number, validUntil: number): string {
  const { id, template, timeout, url, token, accessHash, env, metadata } = draft;
  return JSON.stringify([
    ...[id, generation, validUntil, template, timeout, url],
    ...[token ?? null, accessHash ?? null, env, metadata],
  ]);
}

/** Signs what a pool starts. It stays valid until the keys change. */
export function signPool(signer: StartSigner, spec: PoolSpec): string {
  return signer.sign('pool', JSON.stringify(spec));
}

/** Whether a worker may fill this pool. */
export function mayFillPool(
  signer: StartSigner,
  spec: PoolSpec,
  signature: string | undefined,
): boolean {
  if (!signer.hasKeys) return true;
  return signature !== undefined && signer.hasSigned('pool', JSON.stringify(spec), signature);
}

// The worker of a host executes requests of proxies: it reads logs and pauses instances. Each request
// carries credentials under a key that only proxies and workers have, so nobody else can send one.

/** Signs and verifies; `SigningKeys` of `@ephemera/config` implements it. */
export interface HostSigner {
  /** False: no key is configured. Then no host connection is possible. */
  readonly hasKeys: boolean;
  sign(purpose: HostPurpose, text: string): string;
  hasSigned(purpose: HostPurpose, text: string, signature: string): boolean;
}

/**
 * `host-request`: credentials of one request. `host-address`: where a worker listens, so that a
 * client that can write to Redis cannot direct proxies elsewhere.
 */
export type HostPurpose = 'host-request' | 'host-address';

/** The response header of a worker that refuses a request itself, with the kind of the failure. */
export const HOST_FAILURE_HEADER = 'ephemera-host-failure';
/** The protocol to which a request for a stream is upgraded: bytes in both directions. */
export const HOST_STREAM_PROTOCOL = 'ephemera-stream';

/**
 * Why a request to a host had no response of the operation.
 *
 * - `unregistered`: no worker of the host has registered an address. It has no signing keys, or is down.
 * - `unreachable`: no worker accepted the connection, or the connection was lost before a response.
 * - `refused`: the worker does not accept the credentials, or does not know the operation.
 * - `gone`: the instance has another generation by now, or has ended.
 * - `timeout`: the worker has accepted the request, and sent no response in time.
 * - `aborted`: the caller has aborted the request.
 */
export type HostFailureKind =
  'unregistered' | 'unreachable' | 'refused' | 'gone' | 'timeout' | 'aborted';

/** What one request may do. */
export interface HostClaims {
  /** Fingerprint of the certificate of the worker, so that no other worker accepts the request. */
  readonly worker: string;
  readonly id: string;
  readonly generation: number;
  readonly operation: string;
}

/** Why a worker refuses credentials. */
export type CredentialRefusal =
  'missing' | 'invalid' | 'expired' | 'early' | 'other_worker' | 'other_operation';

/**
 * How long credentials are valid, ms. It covers a connection with its handshake, a pause of the event
 * loop and the error of the clocks. A client that obtains credentials can repeat that one operation on
 * that one instance until then, so it is not longer.
 */
export const CREDENTIALS_VALIDITY_MS = 10_000;
/**
 * The most by which the clock of a proxy may be ahead of that of a worker, ms. Both estimate the clock
 * of Redis, with an error of at most half a second, so the clocks of the machines do not matter.
 */
export const CLOCK_TOLERANCE_MS = 2_000;

/** Makes the credentials of one request. `now` is the store's clock, epoch ms. */
export function signHostRequest(signer: HostSigner, claims: HostClaims, now: number): string {
  const { worker, id, generation, operation } = claims;
  const text = JSON.stringify([worker, id, generation, operation, now + CREDENTIALS_VALIDITY_MS]);
  const payload = Buffer.from(text).toString('base64url');
  return `${payload}.${signer.sign('host-request', payload)}`;
}

/**
 * Verifies the credentials of a request that `worker` has received for `operation`. Whether the
 * generation is still the current one is for the caller to check.
 *
 * @param now the store's clock, epoch ms
 * @returns the instance that the request may act on, or why it is refused
 */
export function verifyHostRequest(
  signer: HostSigner,
  credentials: string | undefined,
  expected: Pick<HostClaims, 'worker' | 'operation'>,
  now: number,
): Pick<HostClaims, 'id' | 'generation'> | { readonly refused: CredentialRefusal } {
  if (credentials === undefined) return { refused: 'missing' };
  const [payload = '', signature = ''] = credentials.split('.');
  if (!signer.hasKeys || !signer.hasSigned('host-request', payload, signature)) {
    return { refused: 'invalid' };
  }
  // The signature proves that `signHostRequest` made it.
  const [worker, id, generation, operation, expiresAt] = JSON.parse(
    Buffer.from(payload, 'base64url').toString(),
  ) as [string, string, number, string, number];
  if (expiresAt < now) return { refused: 'expired' };
  if (expiresAt > now + CREDENTIALS_VALIDITY_MS + CLOCK_TOLERANCE_MS) return { refused: 'early' };
  if (worker !== expected.worker) return { refused: 'other_worker' };
  if (operation !== expected.operation) return { refused: 'other_operation' };
  return { id, generation };
}

/** Where a worker accepts requests of proxies. */
export interface HostAddress {
  /** `https://10.0.0.7:41234`, without a path. */
  readonly url: string;
  /** SHA-256 of the certificate of the worker, lowercase hexadecimal. */
  readonly fingerprint: string;
}

/** An address with the signature of the worker that listens there. */
export interface SignedHostAddress extends HostAddress {
  readonly signature: string;
}

/** Signs where a worker of `host` listens. It stays valid until the keys change. */
export function signHostAddress(
  signer: HostSigner,
  host: string,
  { url, fingerprint }: HostAddress,
): SignedHostAddress {
  const signature = signer.sign('host-address', JSON.stringify([host, url, fingerprint]));
  return { url, fingerprint, signature };
}

/** Whether a worker of `host` with one of the keys has registered this address. */
export function isHostAddress(
  signer: HostSigner,
  host: string,
  { url, fingerprint, signature }: SignedHostAddress,
): boolean {
  const text = JSON.stringify([host, url, fingerprint]);
  return signer.hasKeys && signer.hasSigned('host-address', text, signature);
}

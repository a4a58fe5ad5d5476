import type { IncomingMessage } from 'node:http';
import { verifyHostRequest } from '@ephemera/lifecycle';
import type { HostFailureKind, HostSigner } from '@ephemera/lifecycle';

/** An authenticated request of a proxy. The instance has this generation. */
export interface HostCall {
  readonly id: string;
  readonly generation: number;
  readonly operation: string;
  readonly query: URLSearchParams;
  /** Aborts when the proxy closes the connection, and when the worker stops. */
  readonly signal: AbortSignal;
}

/** A refusal before any operation. */
export interface Refusal {
  readonly status: number;
  readonly kind: HostFailureKind;
  readonly reason: string;
}

/** What decides whether a request is executed. */
export interface Admission {
  readonly signer: HostSigner;
  /** Fingerprint of the certificate of this worker. */
  readonly worker: string;
  /** The store's clock, epoch ms. */
  readonly now: () => number;
  /** The current generation of an instance of this host; undefined: it has ended. */
  readonly generationOf: (id: string) => Promise<number | undefined>;
  readonly onError: (error: unknown, call: Pick<HostCall, 'id' | 'operation'>) => void;
}

/**
 * Verifies the credentials of a request (`signHostRequest`): for this worker, the operation in the path,
 * and the current generation of an instance of this host.
 */
export async function admitRequest(
  { signer, worker, now, generationOf, onError }: Admission,
  req: IncomingMessage,
  signal: AbortSignal,
): Promise<HostCall | Refusal> {
  const url = URL.parse(req.url ?? '', 'https://worker');
  if (!url) return { status: 400, kind: 'refused', reason: 'the request target is no valid URL' };
  const operation = url.pathname.slice(1);
  const credentials = /^Ephemera (\S+)$/.exec(req.headers.authorization ?? '')?.[1];
  const claims = verifyHostRequest(signer, credentials, { worker, operation }, now());
  if ('refused' in claims) return { status: 401, kind: 'refused', reason: claims.refused };
  const { id, generation } = claims;
  let current: number | undefined;
  try {
    current = await generationOf(id);
  } catch (error) {
    onError(error, { id, operation });
    return { status: 503, kind: 'unreachable', reason: 'the worker cannot read the instance' };
  }
  if (current !== generation) {
    return { status: 410, kind: 'gone', reason: 'the instance has another generation, or none' };
  }
  return { id, generation, operation, query: url.searchParams, signal };
}

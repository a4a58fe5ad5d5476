import type { components } from './api-types.ts';

/** An error of the control API (RFC 9457). */
export type Problem = components['schemas']['Problem'];

/** The kinds of problems: the end of their `type`. */
export type ProblemKind = KindOf<Problem['type']>;
type KindOf<T> = T extends `urn:ephemera:problem:${infer Kind}` ? Kind : never;

const TYPE_PREFIX = 'urn:ephemera:problem:';

/** The base of every error of this package. */
export class EphemeraError extends Error {
  override readonly name: string = 'EphemeraError';
}

/** The control API refused or failed a request. `kind` says why, `message` also for people. */
export class ProblemError extends EphemeraError {
  override readonly name = 'ProblemError';
  /** A later version of the control API may add kinds. */
  readonly kind: ProblemKind;
  readonly status: number;
  readonly problem: Problem;
  /** Milliseconds after which the request may be repeated, if the response named a time. */
  readonly retryAfterMs: number | undefined;

  constructor(problem: Problem, retryAfterMs?: number) {
    super(`${problem.title}: ${problem.detail}`);
    this.kind = problem.type.slice(TYPE_PREFIX.length) as ProblemKind;
    this.status = problem.status;
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No complete response arrived: no server, no network, or a timeout. `cause` has the reason. */
export class ConnectionError extends EphemeraError {
  override readonly name: string = 'ConnectionError';
}

/** A stream broke off before its end, such as a log whose proxy restarts. */
export class StreamCutError extends ConnectionError {
  override readonly name = 'StreamCutError';
}

/** A response that the control API does not send, such as the error page of a load balancer. */
export class UnexpectedResponseError extends EphemeraError {
  override readonly name = 'UnexpectedResponseError';
  readonly status: number;

  constructor(status: number, what: string) {
    super(`The server answered ${status} ${what}. Check that the URL is that of the admin port.`);
    this.status = status;
  }
}

/** Whether an error is a problem of one of these kinds. */
export function isProblem(error: unknown, ...kinds: readonly ProblemKind[]): error is ProblemError {
  return error instanceof ProblemError && kinds.includes(error.kind);
}

/** Whether the same request may succeed later: no connection, a 5xx status or a rate limit. */
export function isPassing(error: unknown): error is EphemeraError {
  if (error instanceof ConnectionError || isProblem(error, 'rate_limited')) return true;
  const hasStatus = error instanceof ProblemError || error instanceof UnexpectedResponseError;
  return hasStatus && error.status >= 500;
}

/**
 * The error for a response that is no success.
 * @param body the body, parsed if it is JSON
 */
export function errorOf(response: Response, body: unknown): EphemeraError {
  if (isProblemDocument(body)) return new ProblemError(body, retryAfterMs(response));
  return new UnexpectedResponseError(response.status, 'without a problem document');
}

function isProblemDocument(body: unknown): body is Problem {
  const { type, title, status, detail } = (body ?? {}) as Partial<Record<keyof Problem, unknown>>;
  return (
    typeof type === 'string' &&
    type.startsWith(TYPE_PREFIX) &&
    typeof title === 'string' &&
    typeof status === 'number' &&
    typeof detail === 'string'
  );
}

/** `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3). */
function retryAfterMs({ headers }: Response): number | undefined {
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

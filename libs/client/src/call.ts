import createFetchClient from 'openapi-fetch';
import type { Client as FetchClient } from 'openapi-fetch';
import type { paths } from './api-types.ts';
import { ConnectionError, UnexpectedResponseError, errorOf } from './errors.ts';
import { withRetries } from './retry.ts';

/** Where the control API is, how to log in, and how long requests may take. */
export interface ConnectionOptions {
  /** Base URL of the admin port, such as `http://localhost:8081`. */
  readonly url: string | URL;
  /** Bearer token. Default: none. */
  readonly token?: string | undefined;
  /** Milliseconds until a request without a response fails. Default: 15,000. */
  readonly timeoutMs?: number;
  /** How often a request that may be repeated is repeated. Default: 3. */
  readonly retries?: number;
  /** In place of the global `fetch`, for a proxy or a test. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** The operations of the control API, typed by its OpenAPI document. */
export type Operations = FetchClient<paths>;

/** What a call returns: the data of a success, or the parsed body of an error. */
interface CallResult<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether the signal only prevents further attempts: one that was sent is completed. Default: no. */
  readonly completesAttempt?: boolean;
  /** Whether the request may be sent again. Default: yes. */
  readonly isRepeatable?: boolean;
  /** Milliseconds until a request without a response fails. Default: that of the client. */
  readonly timeoutMs?: number;
}

/** Runs an operation with a time limit and retries. Returns its data. */
export type Call = <T>(
  run: (operations: Operations, init: { readonly signal: AbortSignal }) => Promise<CallResult<T>>,
  options?: CallOptions,
) => Promise<T>;

const TIMEOUT_MS = 15_000;
const RETRIES = 3;

/**
 * Connects the operations of the control API with time limits, retries and typed errors.
 * @throws TypeError if the URL is invalid
 */
export function createCall({
  url,
  token,
  timeoutMs = TIMEOUT_MS,
  retries = RETRIES,
  fetch: send,
}: ConnectionOptions): { readonly operations: Operations; readonly call: Call } {
  const baseUrl = new URL(url).href.replace(/\/$/, '');
  const operations = createFetchClient<paths>({
    baseUrl,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    ...(send && { fetch: send }),
  });

  const call: Call = (
    run,
    { signal, completesAttempt, isRepeatable = true, timeoutMs: ownTimeoutMs = timeoutMs } = {},
  ) => {
    const attempt = async () => {
      const limit = new AbortController();
      const timer = setTimeout(() => limit.abort(), ownTimeoutMs);
      const both =
        signal && completesAttempt !== true
          ? AbortSignal.any([signal, limit.signal])
          : limit.signal;
      try {
        const result = await run(operations, { signal: both });
        if (!result.response.ok) throw errorOf(result.response, result.error);
        return result.data as NonNullable<typeof result.data>;
      } catch (error) {
        signal?.throwIfAborted();
        throw translate(error, baseUrl, limit.signal.aborted ? ownTimeoutMs : undefined);
      } finally {
        // The body of a stream is read later, under the signal of the caller alone.
        clearTimeout(timer);
      }
    };
    return withRetries(attempt, { retries: isRepeatable ? retries : 0, signal });
  };
  return { operations, call };
}

/** Errors of fetch and of the parsing of a body, as errors of this package. */
function translate(error: unknown, baseUrl: string, timeoutMs: number | undefined): unknown {
  if (timeoutMs !== undefined) {
    return new ConnectionError(`${baseUrl} did not answer within ${timeoutMs / 1000} s`, {
      cause: error,
    });
  }
  // The body of a 2xx response is no JSON.
  if (error instanceof SyntaxError)
    return new UnexpectedResponseError(200, 'with a body that is no JSON');
  if (error instanceof TypeError) {
    return new ConnectionError(`No control API answers at ${baseUrl} (${reasonOf(error)})`, {
      cause: error,
    });
  }
  return error;
}

/** In Node, the message of fetch is only "fetch failed"; the reason is in its cause. */
function reasonOf({ cause, message }: TypeError): string {
  const { code, message: inner } = (cause ?? {}) as { code?: string; message?: string };
  return code ?? inner ?? message;
}

import type { Limit } from './capacity.ts';
import type { Hint } from './hint.ts';
import type { Scope } from './principal.ts';
import type { EndReason } from './state.ts';

/** Every failure of a request. One table maps each kind to an HTTP problem. */
export type Failure =
  | { readonly kind: 'unauthorized' }
  /** The token is valid, but lacks the scope. */
  | { readonly kind: 'forbidden'; readonly needs: Scope }
  /** The instance is guarded or does not exist. The answer does not reveal which. */
  | { readonly kind: 'access_denied' }
  | { readonly kind: 'not_found'; readonly what: string }
  /** A page of an instance asked for a path outside the instance. `prefix` is of the path form. */
  | { readonly kind: 'missing_base_path'; readonly prefix: string }
  | { readonly kind: 'method_not_allowed'; readonly allow: string }
  /** `status` is a 4xx status other than the default 400. */
  | { readonly kind: 'invalid'; readonly faults: readonly Issue[]; readonly status?: number }
  /** `known` is empty for a client that may not learn the names. */
  | { readonly kind: 'unknown_template'; readonly name: string; readonly known: readonly string[] }
  | {
      readonly kind: 'gone';
      readonly id: string;
      readonly reason: EndReason;
      readonly message?: string | undefined;
      readonly hint?: Hint | undefined;
    }
  | { readonly kind: 'starting'; readonly id: string }
  | { readonly kind: 'not_ready'; readonly id: string }
  /** A renewal would move the deadline earlier, and does not ask for that. Epoch ms. */
  | { readonly kind: 'renewal_earlier'; readonly id: string; readonly expiresAt: number }
  | { readonly kind: 'paused'; readonly id: string }
  | {
      readonly kind: 'start_failed';
      readonly id: string;
      readonly message: string;
      readonly hint?: Hint | undefined;
    }
  | { readonly kind: 'upstream_unreachable'; readonly id: string }
  | { readonly kind: 'upstream_timeout'; readonly id: string }
  /**
   * The address is in no network that the host has registered, so it may belong to another
   * instance.
   */
  | {
      readonly kind: 'host_unregistered';
      readonly id: string;
      readonly host: string;
      readonly address: string;
    }
  | { readonly kind: 'full'; readonly limit: Limit }
  /** Too many requests from one client. */
  | {
      readonly kind: 'rate_limited';
      readonly by: 'address' | 'token' | 'owner';
      /** Seconds until the next request is allowed. */
      readonly resetsIn: number;
    }
  /** The user did not intend this request to start an instance. */
  | { readonly kind: 'unintended_request'; readonly reason: 'prefetch' | 'subresource' }
  /** Visitors need a signed link to start an instance of this template. */
  | { readonly kind: 'link_needed' }
  | { readonly kind: 'link_refused'; readonly reason: 'invalid' | 'expired' | 'used' }
  /** The visitor must find a hash for this challenge. */
  | { readonly kind: 'work_needed'; readonly challenge: string; readonly bits: number }
  /** An instance was already started with this proof of work. */
  | { readonly kind: 'work_used' }
  /** The idempotency key was used with another payload. */
  | { readonly kind: 'key_reused' }
  /** A name has another generation than the request requires. Undefined: there is no such name. */
  | { readonly kind: 'precondition_failed'; readonly generation: number | undefined }
  /** A file has another entity tag than the request requires, exists, or does not exist. */
  | { readonly kind: 'precondition_failed'; readonly of: 'file' }
  /** The state of the instance does not allow the operation. */
  | { readonly kind: 'conflict'; readonly detail: string }
  /** No worker of the instance's host replies. */
  | { readonly kind: 'host_unavailable' }
  | { readonly kind: 'store_unavailable' }
  /** Redis has lost its data, and not every host has reported its containers. */
  | { readonly kind: 'rebuilding' }
  | { readonly kind: 'internal' };

/** One error in a request or in a configuration, and its location. */
export interface Issue {
  /** Dotted path of the field, such as `templates.demo.port`. Empty for the whole input. */
  readonly path: string;
  readonly detail: string;
  /** The part of the request. */
  readonly in?: 'query' | 'header' | 'body';
}

export class ApiError extends Error {
  readonly failure: Failure;
  /** @param options `cause`: the error behind the failure, for the log only */
  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.kind, options);
    this.name = 'ApiError';
    this.failure = failure;
  }
}

/** Whether an error is an `ApiError` with this failure. */
export function isFailure(error: unknown, kind: Failure['kind']): boolean {
  return error instanceof ApiError && error.failure.kind === kind;
}

/**
 * An external service that the app needs is missing. The message says what, where, and what to do.
 */
export class BootError extends Error {
  override readonly name: string = 'BootError';
}

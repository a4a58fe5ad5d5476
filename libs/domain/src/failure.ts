import type { Limit } from './capacity.ts';
import type { Scope } from './principal.ts';
import type { EndReason } from './state.ts';

/** What can go wrong for somebody who asks; one table turns each kind into an HTTP problem. */
export type Failure =
  | { readonly kind: 'unauthorized' }
  /** Who asks is known, and may not. */
  | { readonly kind: 'forbidden'; readonly needs: Scope }
  /** An instance that is guarded, or that there is not: which of the two is not told. */
  | { readonly kind: 'access_denied' }
  | { readonly kind: 'not_found'; readonly what: string }
  | { readonly kind: 'method_not_allowed'; readonly allow: string }
  /** `status` where another 4xx than 400 says it better. */
  | { readonly kind: 'invalid'; readonly faults: readonly Issue[]; readonly status?: number }
  | { readonly kind: 'unknown_template'; readonly name: string; readonly known: readonly string[] }
  | {
      readonly kind: 'gone';
      readonly id: string;
      readonly reason: EndReason;
      readonly message?: string | undefined;
    }
  | { readonly kind: 'starting'; readonly id: string }
  | { readonly kind: 'not_ready'; readonly id: string }
  | { readonly kind: 'paused'; readonly id: string }
  | { readonly kind: 'start_failed'; readonly id: string; readonly message: string }
  | { readonly kind: 'upstream_unreachable'; readonly id: string }
  | { readonly kind: 'upstream_timeout'; readonly id: string }
  | { readonly kind: 'full'; readonly limit: Limit }
  /** Asked too often. */
  | {
      readonly kind: 'rate_limited';
      readonly by: 'address' | 'token';
      /** Seconds until it may be asked again. */
      readonly resetsIn: number;
    }
  /** Nobody meant this request to start an instance. */
  | { readonly kind: 'unintended_request'; readonly reason: 'prefetch' | 'subresource' }
  /** Visitors need something to start one of this template. */
  | { readonly kind: 'link_needed' }
  | { readonly kind: 'link_refused'; readonly reason: 'invalid' | 'expired' | 'used' }
  /** What a visitor is to find a hash for. */
  | { readonly kind: 'work_needed'; readonly challenge: string; readonly bits: number }
  /** The work was done for an instance that was started already. */
  | { readonly kind: 'work_used' }
  /** The same idempotency key with another payload. */
  | { readonly kind: 'key_reused' }
  /** What was asked for does not go with the state that the instance is in. */
  | { readonly kind: 'conflict'; readonly detail: string }
  /** No worker of the instance's host answers. */
  | { readonly kind: 'host_unavailable' }
  | { readonly kind: 'store_unavailable' }
  | { readonly kind: 'internal' };

/** One thing wrong with what somebody sent or wrote, and where. */
export interface Issue {
  /** Dotted path of the field, as `templates.demo.port`; empty for the whole. */
  readonly path: string;
  readonly detail: string;
}

export class ApiError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.kind);
    this.name = 'ApiError';
    this.failure = failure;
  }
}

/** Something outside that an app needs is not there; the message says what, where, and what to do. */
export class BootError extends Error {
  override readonly name = 'BootError';
}

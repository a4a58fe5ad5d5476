import type { Failure, Issue, Limit } from '@ephemera/domain';
import { z } from './openapi-zod.ts';

/** An error as RFC 9457 has it, with what each kind adds. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
  })
  .openapi('Problem');

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly reason?: string;
  readonly faults?: readonly Issue[];
  readonly limit?: Limit;
  readonly challenge?: string;
  readonly bits?: number;
}

export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
}

const REASONS: Readonly<Record<string, string>> = {
  ttl: 'its time was up',
  idle: 'nobody used it',
  request: 'it was asked to end',
  exited: 'its container exited',
  oom: 'its container ran out of memory',
  start_failed: 'it could not be started',
  orphan: 'it was left over',
};

const LIMITS: Readonly<Record<Limit, string>> = {
  hosts: 'The hosts have no room for one more.',
  template: 'As many instances of this template as there may be are alive.',
  queue: 'There is no room for one more, and the queue is full.',
  address: 'This address has as many instances as it may have.',
  token: 'This token has as many instances as it may have.',
};

const UNINTENDED = {
  prefetch: 'An instance is started by who wants it, not ahead of time by a browser.',
  subresource: 'An instance is started by opening a page, not as a part of one.',
};

const LINKS = {
  invalid: 'This link was not made here, or was changed.',
  expired: 'The time of this link is up.',
  used: 'This link has started as many instances as it may.',
};

/** When to try again where there was no room, seconds. */
const CAPACITY_RETRY_SECONDS = '10';

/** The one table from what went wrong to what a client is told. */
export function problemOf(failure: Failure): ProblemAnswer {
  switch (failure.kind) {
    case 'unauthorized':
      return answer(
        failure,
        401,
        'Unauthorized',
        'A valid token is needed: Authorization: Bearer …',
        {
          'www-authenticate': 'Bearer realm="ephemera"',
        },
      );
    case 'forbidden':
      return answer(failure, 403, 'Forbidden', `This needs a token of scope ${failure.needs}.`, {
        'www-authenticate': `Bearer realm="ephemera", error="insufficient_scope", scope="${failure.needs}"`,
      });
    case 'access_denied':
      return answer(
        failure,
        403,
        'Forbidden',
        'There is no such instance, or it opens only to who holds its token or has started it.',
      );
    case 'not_found':
      return answer(failure, 404, 'Not found', `There is no ${failure.what}.`);
    case 'method_not_allowed':
      return answer(failure, 405, 'Method not allowed', `Allowed: ${failure.allow}.`, {
        allow: failure.allow,
      });
    case 'invalid':
      return answer(
        failure,
        failure.status ?? 400,
        'Invalid request',
        failure.faults.map(({ path, detail }) => (path ? `${path}: ${detail}` : detail)).join('; '),
        {},
        { faults: failure.faults },
      );
    case 'unknown_template':
      return answer(
        failure,
        400,
        'Unknown template',
        `There is no template of this name; there are: ${failure.known.join(', ')}.`,
      );
    case 'gone':
      return answer(
        failure,
        410,
        'Gone',
        [`The instance has ended: ${REASONS[failure.reason] ?? failure.reason}.`, failure.message]
          .filter(Boolean)
          .join(' '),
        {},
        { reason: failure.reason },
      );
    case 'starting':
      return answer(failure, 503, 'Still starting', 'The instance is still starting.', {
        'retry-after': '2',
      });
    case 'paused':
      return answer(failure, 503, 'Paused', 'The instance is paused until it is resumed.');
    case 'not_ready':
      return answer(
        failure,
        409,
        'Not ready',
        'The instance is not ready yet: it has no lease to renew.',
      );
    case 'start_failed':
      return answer(failure, 502, 'Start failed', failure.message);
    case 'upstream_unreachable':
      return answer(failure, 502, 'Bad gateway', 'The instance does not answer as it should.');
    case 'upstream_timeout':
      return answer(failure, 504, 'Gateway timeout', 'The instance did not answer in time.');
    case 'full':
      return answer(
        failure,
        429,
        'Full',
        LIMITS[failure.limit],
        { 'retry-after': CAPACITY_RETRY_SECONDS },
        { limit: failure.limit },
      );
    case 'rate_limited':
      return answer(failure, 429, 'Too many requests', `This ${failure.by} has asked too often.`, {
        'retry-after': String(failure.resetsIn),
      });
    case 'unintended_request':
      return answer(failure, 403, 'Not asked for', UNINTENDED[failure.reason]);
    case 'link_needed':
      return answer(failure, 403, 'Forbidden', 'This template is started by a link of its own.');
    case 'link_refused':
      return answer(failure, 403, 'Forbidden', LINKS[failure.reason]);
    case 'work_needed':
      return answer(
        failure,
        403,
        'Work needed',
        `Send \`work\`: the challenge, a colon, and a number with which their SHA-256 begins with ${failure.bits} zero bits.`,
        {},
        { challenge: failure.challenge, bits: failure.bits },
      );
    case 'work_used':
      return answer(failure, 403, 'Forbidden', 'This work has started an instance already.');
    case 'key_reused':
      return answer(
        failure,
        422,
        'Idempotency key reused',
        'This Idempotency-Key came with another request before.',
      );
    case 'conflict':
      return answer(failure, 409, 'Conflict', failure.detail);
    case 'host_unavailable':
      return answer(failure, 503, 'Unavailable', 'The host of the instance does not answer.', {
        'retry-after': '5',
      });
    case 'store_unavailable':
      return answer(failure, 503, 'Unavailable', 'The route cannot be looked up at the moment.', {
        'retry-after': '1',
      });
    case 'internal':
      return answer(failure, 500, 'Internal error', 'Something went wrong on this side.');
  }
}

function answer(
  { kind }: Failure,
  status: number,
  title: string,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
  more: Partial<Problem> = {},
): ProblemAnswer {
  return {
    problem: { type: `urn:ephemera:problem:${kind}`, title, status, detail, ...more },
    headers,
  };
}

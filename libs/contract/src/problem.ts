import type { Failure, Hint, Issue, Limit } from '@ephemera/domain';
import { hintSchema } from './instance-resource.ts';
import { z } from './openapi-zod.ts';
import { PROBLEM_KINDS } from './problem-kinds.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly reason?: string;
  readonly faults?: readonly Issue[];
  readonly limit?: Limit;
  /** The probable cause of a failed start or an exit. */
  readonly hint?: Hint;
  readonly challenge?: string;
  /** The deadline that a refused renewal has not changed. */
  readonly expiresAt?: string;
  readonly bits?: number;
}

export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
}

const REASONS: Readonly<Record<string, string>> = {
  ttl: 'It reached its deadline.',
  idle: 'It was idle for too long.',
  request: 'It was stopped on request.',
  exited: 'Its container exited.',
  oom: 'Its container ran out of memory.',
  start_failed: 'It could not be started.',
  orphan: 'It was removed after Redis lost data.',
  host_drained: 'Its host was taken out of service.',
  replaced: 'A newer instance has its name.',
};

const LIMITS: Readonly<Record<Limit, string>> = {
  hosts: 'No host has capacity for another instance. Try again later.',
  template: 'This template has reached its maximum number of instances. Try again later.',
  queue: 'There is no capacity for another instance, and the queue is full. Try again later.',
  address:
    'This address has reached its maximum number of instances. End one of them, or try again later.',
  token:
    'This token has reached its maximum number of instances. End one of them, or try again later.',
  input: 'The command has not read its standard input. Try again later.',
  commands:
    'Too many commands run in this instance or on its host, or too many requests wait for them. Wait until one ends, or kill one.',
  owner:
    'This user has reached the maximum number of instances. End one of them, or try again later.',
  names: 'There are too many names. Delete one that is not used any more.',
};

/** The value of `type` in each problem: `urn:ephemera:problem:` and the kind. */
const PROBLEM_TYPES = Object.keys(PROBLEM_KINDS).map((kind) => `urn:ephemera:problem:${kind}`);

/** An error as in RFC 9457, with the fields that single kinds add. */
export const problemSchema = z
  .object({
    type: z.enum(PROBLEM_TYPES).describe('`urn:ephemera:problem:` and the kind.'),
    title: z.string().describe('Title of the kind.'),
    status: z.int().describe('The HTTP status.'),
    detail: z.string().describe('What happened to this request, and what to do.'),
    faults: z
      .array(
        z.object({
          path: z.string().describe('Dotted path of the field. Empty for the whole input.'),
          detail: z.string().describe('What is wrong.'),
          in: z.enum(['query', 'header', 'body']).optional().describe('The part of the request.'),
        }),
      )
      .optional()
      .openapi({ description: '`invalid`: every error in the request.' }),
    reason: z.string().optional().openapi({
      description: '`gone`: why the instance ended. `upstream_*`: what the instance did.',
    }),
    limit: z
      .enum(Object.keys(LIMITS))
      .optional()
      .openapi({ description: '`full`: the limit that is exceeded.' }),
    hint: hintSchema
      .optional()
      .openapi({ description: 'The probable cause of a failed start or an exit.' }),
    expiresAt: z.iso
      .datetime({ offset: true })
      .optional()
      .openapi({ description: '`renewal_earlier`: the deadline, which has not changed.' }),
    challenge: z
      .string()
      .optional()
      .openapi({ description: '`work_needed`: the text to find a number for.' }),
    bits: z.int().optional().openapi({ description: '`work_needed`: the required zero bits.' }),
  })
  .openapi('Problem');

const UNINTENDED = {
  prefetch: 'The browser sent this request as a prefetch. Open the page to start an instance.',
  subresource:
    'The browser sent this request for a part of a page. Open the URL itself to start an instance.',
};

const LINKS = {
  invalid: 'The signature of this link is invalid. Ask the operator for a new one.',
  expired: 'This link has expired. Ask the operator for a new one.',
  used: 'This link has already started its maximum number of instances. Ask the operator for a new one.',
};

/** Seconds after which a client may retry when there is no capacity. */
const CAPACITY_RETRY_SECONDS = '10';

/** What an instance did that failed a request. It is for its owner and the operator only. */
interface FailureCause {
  readonly reason: string;
  readonly detail: string;
}

/**
 * Maps each failure to the HTTP problem that clients receive.
 * @param cause only for a client that may read the instance: replaces the general detail
 */
export function problemOf(failure: Failure, cause?: FailureCause): ProblemAnswer {
  switch (failure.kind) {
    case 'unauthorized':
      return answer(failure, 'A valid token is required: Authorization: Bearer …', {
        'www-authenticate': 'Bearer realm="ephemera"',
      });
    case 'forbidden':
      return answer(failure, `This request requires a token with the scope ${failure.needs}.`, {
        'www-authenticate': `Bearer realm="ephemera", error="insufficient_scope", scope="${failure.needs}"`,
      });
    case 'access_denied':
      return answer(
        failure,
        'There is no such instance, or this client has no access to it. Open its link with the token once, or send Ephemera-Token.',
      );
    case 'not_found':
      return answer(failure, `There is no ${failure.what}.`);
    case 'missing_base_path':
      return answer(
        failure,
        `A page of an instance asked for this path, but the instance is below /${failure.prefix}/{id}/. Its application does not know its base path. The operator sets \`stripPrefix: false\` in the template and passes \`{basePath}\` to the application in \`command\` or \`env\`, or sets \`EPHEMERA_DOMAIN\` to serve each instance on its own origin.`,
      );
    case 'method_not_allowed':
      return answer(failure, `This path does not accept the method. Allowed: ${failure.allow}.`, {
        allow: failure.allow,
      });
    case 'invalid':
      return answer(
        failure,
        failure.faults.map(sentenceOf).join('; '),
        {},
        { faults: failure.faults, ...(failure.status !== undefined && { status: failure.status }) },
      );
    case 'unknown_template':
      return answer(
        failure,
        ['There is no template with this name.', knownTemplates(failure.known)]
          .filter(Boolean)
          .join(' '),
      );
    case 'gone':
      return answer(
        failure,
        ['This instance has ended.', REASONS[failure.reason] ?? failure.reason, failure.message]
          .filter(Boolean)
          .join(' '),
        {},
        { reason: failure.reason, ...(failure.hint && { hint: failure.hint }) },
      );
    case 'starting':
      return answer(failure, 'The instance is still starting. Try again in a few seconds.', {
        'retry-after': '2',
      });
    case 'paused':
      return answer(
        failure,
        `The instance is paused. Resume it with POST /v1/instances/${failure.id}/resume of the control API.`,
      );
    case 'not_ready':
      return answer(
        failure,
        'The instance is not ready yet, so it has no lease to renew. Renew it when its state is ready.',
      );
    case 'renewal_earlier': {
      const expiresAt = new Date(failure.expiresAt).toISOString();
      return answer(
        failure,
        `The deadline stays at ${expiresAt}, because the requested one is earlier. To move it earlier, renew with \`shorten: true\` (\`ephemera renew --shorten\`).`,
        {},
        { expiresAt },
      );
    }
    case 'start_failed':
      return answer(failure, failure.message, {}, failure.hint && { hint: failure.hint });
    case 'upstream_unreachable':
      return answer(
        failure,
        cause?.detail ??
          `The instance refused the connection, closed it early, or sent an invalid response. ${askOperator(failure.id)}`,
        {},
        cause && { reason: cause.reason },
      );
    case 'host_unregistered':
      return answer(
        failure,
        'The host of this instance has not registered its network. Try again in a few seconds.',
        { 'retry-after': '5' },
      );
    case 'upstream_timeout':
      return answer(
        failure,
        cause?.detail ??
          `The instance did not begin its response in time. Try again. ${askOperator(failure.id)}`,
        {},
        cause && { reason: cause.reason },
      );
    case 'full':
      return answer(
        failure,
        LIMITS[failure.limit],
        { 'retry-after': CAPACITY_RETRY_SECONDS },
        { limit: failure.limit },
      );
    case 'rate_limited':
      return answer(
        failure,
        `Too many requests from this ${failure.by === 'owner' ? 'user' : failure.by}. Retry after ${failure.resetsIn} s.`,
        {
          'retry-after': String(failure.resetsIn),
        },
      );
    case 'unintended_request':
      return answer(failure, UNINTENDED[failure.reason]);
    case 'link_needed':
      return answer(
        failure,
        'A signed link is required to start an instance of this template. Ask the operator for one.',
      );
    case 'link_refused':
      return answer(failure, LINKS[failure.reason]);
    case 'work_needed':
      return answer(
        failure,
        `Send \`work\`: the challenge, a colon, and a number. The SHA-256 of this text must begin with ${failure.bits} zero bits.`,
        {},
        { challenge: failure.challenge, bits: failure.bits },
      );
    case 'work_used':
      return answer(
        failure,
        'This proof of work has already started an instance. Request a new challenge.',
      );
    case 'key_reused':
      return answer(
        failure,
        'This Idempotency-Key was used before with another request. Use a new key.',
      );
    case 'precondition_failed':
      if ('of' in failure) {
        return answer(
          failure,
          'The file is not as the condition of the request requires. Read it again.',
        );
      }
      return answer(
        failure,
        failure.generation === undefined
          ? 'There is no such name, and the request requires that it exists.'
          : `The name has generation ${failure.generation}, which the condition of the request excludes. Read the name again.`,
      );
    case 'conflict':
      return answer(failure, failure.detail);
    case 'host_unavailable':
      return answer(
        failure,
        'No worker on the host of this instance replies. Try again in a few seconds.',
        {
          'retry-after': '5',
        },
      );
    case 'store_unavailable':
      return answer(failure, 'Redis is unavailable. Try again in a few seconds.', {
        'retry-after': '1',
      });
    case 'rebuilding':
      return answer(
        failure,
        'Redis is new or has lost its data, and the hosts are reporting their instances. Try again in a few seconds.',
        { 'retry-after': '2' },
      );
    case 'internal':
      return answer(failure, 'An internal error occurred. Details are in the log of the server.');
  }
}

function askOperator(id: string): string {
  return `If it persists, its operator finds the reason with \`ephemera get ${id}\` and in the log of the proxy.`;
}

function sentenceOf({ path, detail, in: part }: Issue): string {
  if (path === '') return detail;
  const name = { query: 'query parameter ', header: 'header ', body: '' }[part ?? 'body'];
  return `${name}${path}: ${detail}`;
}

function answer(
  { kind }: Failure,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
  more: Partial<Problem> = {},
): ProblemAnswer {
  const { status, title } = PROBLEM_KINDS[kind];
  return {
    problem: { type: `urn:ephemera:problem:${kind}`, title, status, detail, ...more },
    headers,
  };
}

/** Visitors do not learn the names of templates. */
function knownTemplates(known: readonly string[]): string | undefined {
  return known.length === 0 ? undefined : `Available templates: ${known.join(', ')}.`;
}

import type { Failure } from '@ephemera/domain';

/** A kind of problem: what every problem of this kind has in common, and its reference. */
export interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** What has happened, as one or two sentences. For the reference. */
  readonly meaning: string;
  /** What the client, the visitor or the operator can do. For the reference. */
  readonly action: string;
}

/** The `type` of a problem is `urn:ephemera:problem:` and the kind. */
export const PROBLEM_KINDS: Readonly<Record<Failure['kind'], ProblemKind>> = {
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    meaning: 'The request has no bearer token, or the token is invalid.',
    action:
      'Send `Authorization: Bearer TOKEN` with a token of `ephemera.yml`, or `EPHEMERA_ADMIN_TOKEN`.',
  },
  forbidden: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The token is valid, but lacks the scope that `WWW-Authenticate` names.',
    action: 'Use a token with that scope, or add the scope to the token in `ephemera.yml`.',
  },
  access_denied: {
    status: 403,
    title: 'Forbidden',
    meaning:
      'The instance requires its access token, or was started by another client. An invalid token gets this response whether or not the instance exists.',
    action: 'Send `Ephemera-Token`, or open the link of the creation response in the browser once.',
  },
  not_found: {
    status: 404,
    title: 'Not found',
    meaning:
      'No such instance, template or path exists. An ended instance answers 410 first, and 404 after `EPHEMERA_TOMBSTONE`.',
    action: 'Check the id or the path. Start another instance if this one has ended.',
  },
  missing_base_path: {
    status: 404,
    title: 'Not found',
    meaning:
      'A page of an instance asked for a path at the root of the public port, such as `/static/app.js`. In path form an instance has only the paths below `/{prefix}/{id}/`, so such pages stay blank or lose their style. `ephemera get ID` shows a warning.',
    action:
      'Tell the application its base path: set `stripPrefix: false` and pass `{basePath}` in `command` or `env` of the template. If it has no such setting, set `EPHEMERA_DOMAIN`.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path exists, but not with this method.',
    action: 'Use a method that the header `Allow` lists.',
  },
  invalid: {
    status: 400,
    title: 'Invalid request',
    meaning:
      'The request has an unknown, repeated or invalid parameter, field or header. `faults` lists every error with its place. Some causes have another status: 403 (a request from another origin, a service worker in path form), 413 (body too large), 415 (media type), 417 (`Expect`), 421 (a host name that the dashboard or the admin port does not know).',
    action: 'Correct every entry of `faults` and send the request again.',
  },
  unknown_template: {
    status: 400,
    title: 'Unknown template',
    meaning: '`ephemera.yml` has no template of this name.',
    action:
      'Use a name that the problem lists, or add the template to `ephemera.yml`. Only clients with a token see the list.',
  },
  gone: {
    status: 410,
    title: 'Gone',
    meaning: 'The instance has ended. `reason` says why.',
    action: 'Start another instance. A longer `timeout`, or a renewal in time, keeps one alive.',
  },
  starting: {
    status: 503,
    title: 'Still starting',
    meaning: 'The instance did not become ready within `EPHEMERA_START_WAIT`.',
    action: 'Repeat the request after `Retry-After`.',
  },
  not_ready: {
    status: 409,
    title: 'Not ready',
    meaning: 'The instance has no lease yet, because it is still starting.',
    action: 'Wait for the state `ready`, then renew.',
  },
  renewal_earlier: {
    status: 409,
    title: 'Deadline not moved',
    meaning:
      'The renewal would move the deadline earlier, and has no `shorten: true`. Nothing has changed. `expiresAt` is the present deadline.',
    action:
      'Renew with a later deadline. To move it earlier, send `shorten: true`, or use `ephemera renew --shorten`.',
  },
  paused: {
    status: 503,
    title: 'Paused',
    meaning: 'The instance is paused, and its template has `resume: manual`.',
    action: 'Resume it with `POST /v1/instances/{id}/resume`.',
  },
  start_failed: {
    status: 502,
    title: 'Start failed',
    meaning:
      'The container could not be created or started, or it did not pass its readiness probe in time. `detail` has the reason and the last lines of its log.',
    action: 'Correct the image, `command`, `port`, `ready` or `limits` of the template.',
  },
  upstream_unreachable: {
    status: 502,
    title: 'Bad gateway',
    meaning:
      'The instance refused the connection, closed it early, or sent an invalid response. For the owner of the instance and the operator, `reason` and `detail` say what it did; other visitors get a general `detail`. The log line of the proxy and the warnings of `ephemera get ID` have the same text.',
    action:
      'Follow `detail`, and read the log of the instance. `ephemera_upstream_failures_total` counts by `reason`.',
  },
  upstream_timeout: {
    status: 504,
    title: 'Gateway timeout',
    meaning:
      'The instance did not begin its response within `EPHEMERA_RESPONSE_TIMEOUT`. Its owner and the operator also get `reason`.',
    action: 'Make the application respond sooner, or raise `EPHEMERA_RESPONSE_TIMEOUT`.',
  },
  host_unregistered: {
    status: 503,
    title: 'Host not registered',
    meaning:
      'The address of the instance is in no network that its host has registered, or its published port is not one of the host. The proxy sends nothing there, because another instance could answer.',
    action:
      'Repeat the request after `Retry-After`. If it persists, two hosts use the same network, or the reach of the host was changed while instances ran: set `EPHEMERA_SUBNET`, or set `EPHEMERA_REACH` back until they have ended.',
  },
  full: {
    status: 429,
    title: 'Full',
    meaning:
      'A capacity limit is exceeded. `limit` is `hosts`, `template`, `queue`, `address`, `token`, `owner`, `commands` or `names`.',
    action:
      'Repeat the request after `Retry-After`, end an instance, or raise the limit that `limit` names.',
  },
  rate_limited: {
    status: 429,
    title: 'Too many requests',
    meaning: 'The address, the token or the owner exceeded its rate limit.',
    action: 'Repeat the request after `Retry-After`.',
  },
  unintended_request: {
    status: 403,
    title: 'Unintended request',
    meaning:
      'The browser marked the request as a prefetch, or as a subresource of a page. Such requests start no instance.',
    action: 'Open the address in a window, or use the control API.',
  },
  link_needed: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The template has `create: link`, and the request has no signed link.',
    action: 'Ask the operator for a link. `ephemera link` creates one.',
  },
  link_refused: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The signed link is invalid, has expired, or has no uses left.',
    action: 'Ask the operator for a new link.',
  },
  work_needed: {
    status: 403,
    title: 'Work needed',
    meaning: 'The template sets `proofOfWork`. The problem has a `challenge` and its `bits`.',
    action:
      'Find a number for which the SHA-256 of `challenge:number` begins with `bits` zero bits, and repeat the request with `work=challenge:number`.',
  },
  work_used: {
    status: 403,
    title: 'Forbidden',
    meaning: 'The proof of work has already started an instance.',
    action: 'Request a new challenge.',
  },
  key_reused: {
    status: 422,
    title: 'Idempotency key reused',
    meaning: 'The `Idempotency-Key` was used with another body within 24 hours.',
    action: 'Use a new key for each different request.',
  },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    meaning:
      'The name or the file has changed since the client has read it, or exists although it must not, or the reverse: `If-Match` or `If-None-Match` does not hold. Nothing has changed.',
    action: 'Read it again, and repeat the request with its present `ETag`.',
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The operation is not possible in the current state. `detail` says why.',
    action: 'Read the instance, bring it into the required state, and try again.',
  },
  host_unavailable: {
    status: 503,
    title: 'Unavailable',
    meaning: 'No worker of the host of this instance responds.',
    action: 'Repeat the request after `Retry-After`. The operator checks the workers of the host.',
  },
  store_unavailable: {
    status: 503,
    title: 'Unavailable',
    meaning:
      'Redis is unavailable, so the proxy cannot read a route or write an instance. With Sentinel: no replica has confirmed the creation. The instance may exist; a repetition with the same `Idempotency-Key` returns it. Without a key it is ended, and its signed link or proof of work can be used again.',
    action: 'Repeat the request after `Retry-After`. The operator checks Redis.',
  },
  rebuilding: {
    status: 503,
    title: 'Unavailable',
    meaning:
      'Redis is new or has lost all of its data. The id is unknown, but a host may still report its container. This lasts until every live host has reported: 5 s at least, and 30 s at most.',
    action: 'Repeat the request after `Retry-After`.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning: 'An unexpected error occurred in Ephemera. The log of the process has the error.',
    action: 'Report it, with the log line.',
  },
};

import type { IncomingMessage, ServerResponse } from 'node:http';
import { problemOf } from '@ephemera/contract';
import type { Problem } from '@ephemera/contract';
import type { Failure } from '@ephemera/domain';
import {
  clientKeyOf,
  escapeHtml,
  prefersHtml,
  errorHandler as createErrorHandler,
} from '@ephemera/http';
import { lastLines } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import { isRedisUnavailable } from '@ephemera/store';
import type { InstanceStore, LogArchive } from '@ephemera/store';
import type { Middleware } from 'koa';
import type { UpstreamFailure } from './data-plane/upstream/explain-failure.ts';
import { detailBelowHeading, headingOf } from './page-headings.ts';
import { page } from './page.ts';
import { NEVER_A_PAGE, pageHeaders } from './security-headers.ts';
import { isNavigation } from './waiting/waiting-page.ts';

/**
 * Writes the response of a failure: a page if the client prefers HTML, else problem+json (RFC 9457).
 * Text from the request is escaped. The page may offer to start another instance.
 */
function sendFailure(
  req: IncomingMessage,
  res: ServerResponse,
  failure: Failure,
  { restartAction, cause, reloadAfter, embed, name }: FailureDetails = {},
): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const { problem, headers } = problemOf(failure, cause);
  const html = prefersHtml(req.headers.accept);
  const body = html
    ? failurePage(problem, { restartAction, reloadAfter, name })
    : JSON.stringify(problem);
  res.writeHead(problem.status, {
    ...headers,
    // Works without a script, and repeats only a GET.
    ...(html && reloadAfter !== undefined && { refresh: String(reloadAfter) }),
    'content-type': html ? 'text/html; charset=utf-8' : 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    vary: 'Accept',
    ...(html ? pageHeaders({ hasButton: restartAction !== undefined, embed }) : NEVER_A_PAGE),
  });
  res.end(req.method === 'HEAD' ? undefined : body);
}

interface FailureDetails {
  readonly restartAction?: RestartAction | undefined;
  /** Only for a client that may read the instance. */
  readonly cause?: UpstreamFailure | undefined;
  /** Seconds until the page reloads itself. */
  readonly reloadAfter?: number | undefined;
  /** Origins of sites that may frame the instance. */
  readonly embed?: readonly string[] | undefined;
  /** The title of the template. */
  readonly name?: string | undefined;
  /** Whether the instance has another image than its template. */
  readonly isImageNamed?: boolean | undefined;
}

export interface RestartOptions {
  readonly prefix: string;
  /** How visitors reach the public port, without a slash at the end. */
  readonly publicUrl: string;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly logArchive: Pick<LogArchive, 'read'>;
  /** Whether a client may see why an instance failed its request. */
  readonly mayReadCause: (req: IncomingMessage, id: string) => Promise<boolean>;
  /** The address of the client, also behind a trusted load balancer. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Writes failures of the data path. If the instance has ended or could not be started, the page
 * offers another instance of the same template, unless its creation has named the image; its owner and
 * the operator see the log and a hint. If the instance failed the request, they see what it did, and the page reloads itself a few
 * times.
 */
export function failurePageWithRestart(launch: RestartOptions) {
  const { mayReadCause, logger, instances } = launch;
  const reloads = reloadBudget(launch.addressOf);
  const mayRead = (req: IncomingMessage, id: string): Promise<boolean> =>
    mayReadCause(req, id).catch((error: unknown) => {
      logger.warn({ err: error, id }, 'reader of a failure not identified');
      return false;
    });

  /** What a page in place of the instance's page needs. */
  const aboutInstance = async (
    req: IncomingMessage,
    id: string,
  ): Promise<Pick<FailureDetails, 'embed' | 'name' | 'isImageNamed'>> => {
    if (!prefersHtml(req.headers.accept)) return {};
    // Without Redis the list is unknown, so no other site may frame the page.
    const unknown = { embed: [] };
    return instances.get(id).then(
      (instance) => {
        const { embed, title, isImageNamed } = instance?.template ?? {};
        return { embed, name: title, isImageNamed };
      },
      () => unknown,
    );
  };

  /** What only the owner and the operator may read about an instance that has ended. */
  const privateFailure = async (failure: EndFailure): Promise<Failure> => {
    const hint = (await instances.get(failure.id).catch(() => undefined))?.hint;
    if (failure.kind === 'start_failed') return { ...failure, hint };
    if (failure.reason !== 'exited' && failure.reason !== 'oom') return failure;
    const lines = (await launch.logArchive.read(failure.id).catch(() => undefined)) ?? [];
    const last = lastLines(lines.map(({ text }) => text).join(''));
    const message = failure.message ?? '';
    return { ...failure, hint, message: last === '' ? message : `${message}\n${last}` };
  };

  return (
    req: IncomingMessage,
    res: ServerResponse,
    failure: Failure,
    cause?: UpstreamFailure,
  ): void => {
    if (cause !== undefined && 'id' in failure) {
      const reloadAfter = TRANSIENT.has(cause.reason)
        ? reloads.nextDelay(req, failure.id)
        : undefined;
      void Promise.all([mayRead(req, failure.id), aboutInstance(req, failure.id)]).then(
        ([isReader, about]) =>
          sendFailure(req, res, failure, { reloadAfter, ...about, ...(isReader && { cause }) }),
      );
      return;
    }
    if (!isEndFailure(failure) && 'id' in failure) {
      void aboutInstance(req, failure.id).then((about) => sendFailure(req, res, failure, about));
      return;
    }
    if (!isEndFailure(failure)) {
      const isPassing = failure.kind === 'rebuilding' && isNavigation(req);
      sendFailure(req, res, failure, { reloadAfter: isPassing ? REBUILD_RELOAD : undefined });
      return;
    }
    void (async () => {
      const isReader = await mayRead(req, failure.id);
      const shown = isReader ? await privateFailure(failure) : publicFailure(failure);
      const label = LABELS[failure.kind];
      if (!prefersHtml(req.headers.accept)) {
        sendFailure(req, res, shown);
        return;
      }
      const about = await aboutInstance(req, failure.id);
      // A visitor starts the image of the template only, which is another application.
      const isSame = about.isImageNamed !== true;
      const restartAction =
        label !== undefined && isSame && !isFramed(req)
          ? { label, action: restartActionUrl(launch, req, failure.id) }
          : undefined;
      sendFailure(req, res, shown, { restartAction, ...about });
    })();
  };
}

type EndFailure = Extract<Failure, { kind: 'gone' | 'start_failed' }>;

function isEndFailure(failure: Failure): failure is EndFailure {
  return failure.kind === 'gone' || failure.kind === 'start_failed';
}

/**
 * What every visitor may read. The message of a failed start has lines of the log, or the message of
 * the daemon with names of registries, addresses of resolvers and paths.
 */
function publicFailure(failure: EndFailure): EndFailure {
  if (failure.kind === 'gone') return failure;
  return {
    kind: failure.kind,
    id: failure.id,
    message: `The instance could not be started. Its operator finds the reason with \`ephemera get ${failure.id}\`.`,
  };
}

/** Failures that a restarting application, or the end of the instance, soon cures. */
const TRANSIENT: ReadonlySet<string> = new Set([
  'connect_failed',
  'connect_timeout',
  'closed_before_request',
  'connection_closed',
  'connection_error',
  'route_superseded',
  'route_dropped',
  'host_unregistered',
]);

/** Seconds until the page reloads itself while hosts report their containers, at most 30 s. */
const REBUILD_RELOAD = 2;

/** Seconds before each automatic reload of a page. After the last one, the visitor reloads it. */
const RELOAD_DELAYS = [1, 2, 3, 5, 10, 20, 30, 30];
/** A client that has not seen the failure for this long starts again with the first delay. */
const FORGET_RELOADS_AFTER_MS = 90_000;
const MAX_RELOAD_ENTRIES = 10_000;

/** Counts the failure pages of each client and instance, so that no page reloads without end. */
function reloadBudget(addressOf: RestartOptions['addressOf']) {
  const shown = new Map<string, { count: number; at: number }>();
  return {
    /** Seconds until the page reloads itself. Undefined: it does not, as after a POST. */
    nextDelay(req: IncomingMessage, id: string): number | undefined {
      if (!isNavigation(req)) return undefined;
      const key = `${id} ${clientKeyOf(addressOf(req))}`;
      const now = performance.now();
      const last = shown.get(key);
      const count = last && now - last.at < FORGET_RELOADS_AFTER_MS ? last.count : 0;
      shown.delete(key);
      shown.set(key, { count: count + 1, at: now });
      const [oldest] = shown.keys();
      if (shown.size > MAX_RELOAD_ENTRIES && oldest !== undefined) shown.delete(oldest);
      return RELOAD_DELAYS[count];
    },
  };
}

/** A page in a frame has no button: a request from there starts no instance. */
function isFramed({ headers }: IncomingMessage): boolean {
  const destination = headers['sec-fetch-dest'];
  return destination !== undefined && destination !== 'document';
}

const LABELS: Partial<Record<Failure['kind'], RestartAction['label']>> = {
  gone: 'Start another',
  start_failed: 'Try again',
};

/** Visitors do not learn the name of the template, so the address has the id of the ended instance. */
function restartActionUrl(
  { prefix, publicUrl }: RestartOptions,
  req: IncomingMessage,
  id: string,
): string {
  // In host form every path of this origin belongs to the dead instance.
  const isPathForm = req.url?.startsWith(`/${prefix}/${id}`) === true;
  return `${isPathForm ? '' : publicUrl}/${prefix}/new?again=${id}`;
}

/** A form on the failure page that starts another instance. */
export interface RestartAction {
  readonly label: 'Start another' | 'Try again';
  readonly action: string;
}

/** Renders a problem. The first line of `detail` is a sentence; further lines are a log. */
function failurePage(
  problem: Problem,
  { restartAction, reloadAfter, name }: FailureDetails,
): string {
  const { status, title, detail, hint } = problem;
  const heading = headingOf(problem, name);
  const [sentence = '', ...log] = detailBelowHeading(detail).split('\n');
  const parts = [
    `<h1>${escapeHtml(heading)}</h1>`,
    `<p>${escapeHtml(sentence)}</p>`,
    log.length > 0 && `<pre>${escapeHtml(log.join('\n'))}</pre>`,
    hint && `<p><strong>Hint:</strong> ${escapeHtml(hint.text)}</p>`,
    hint?.cure !== undefined && `<p>In the template:</p><pre>${escapeHtml(hint.cure)}</pre>`,
    reloadAfter !== undefined && '<p>This page reloads itself.</p>',
    restartAction && formOf(restartAction),
    `<p class="soft small">${status} ${escapeHtml(title)}</p>`,
  ];
  return page(heading, parts.filter(Boolean).join('\n'));
}

/**
 * Same-origin actions are posted. An action on another origin is a GET: over plain HTTP, a
 * cross-origin POST carries only the origin of an instance, which is refused.
 */
function formOf({ label, action }: RestartAction): string {
  const [address = '', query = ''] = action.split('?');
  const isOwn = action.startsWith('/');
  const fields = isOwn
    ? ''
    : [...new URLSearchParams(query)]
        .map(([name, value]) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`)
        .join('');
  const target = isOwn
    ? `method="post" action="${escapeHtml(action)}"`
    : `action="${escapeHtml(address)}"`;
  return `<form ${target}>${fields}<button>${label}</button></form>`;
}

/** The error funnel of both ports. */
export function errorHandler(logger: Logger): Middleware {
  return createErrorHandler({
    logger,
    isRedisUnavailable,
    respond(ctx, failure) {
      ctx.respond = false;
      sendFailure(ctx.req, ctx.res, failure);
    },
  });
}

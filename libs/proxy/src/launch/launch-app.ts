import type { IncomingMessage } from 'node:http';
import Router from '@koa/router';
import { ApiError } from '@ephemera/domain';
import { GUESSES, createWrongGuesses } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Rates } from '@ephemera/store';
import Koa from 'koa';
import type { Context } from 'koa';
import { prefersHtml } from '../send-failure.ts';
import { errorHandler } from '../error-handler.ts';
import { isNavigation } from '../waiting/is-navigation.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { waitingRouter } from '../waiting/waiting-router.ts';
import type { Waiting } from '../waiting/waiting-page.ts';
import { auditStarts, recordStart } from './audit-starts.ts';
import { clientKeyOf } from './client-address.ts';
import { countRequest } from './count-request.ts';
import { showLaunchPage } from './launch-page.ts';
import { authenticateStart, requiredGrants } from './authorize-start.ts';
import { authenticate } from './authenticate.ts';
import { showInstance } from './show-instance.ts';
import type { SigningKeys } from './signing-keys.ts';
import { chosenTemplate, startInstance } from './start-instance.ts';
import type { Starter } from './start-instance.ts';
import { unintendedReason } from './unintended-request.ts';

export interface LaunchOptions {
  readonly starter: Starter;
  readonly tokens: TokenSet;
  readonly keys: SigningKeys;
  readonly rates: Rates;
  /** Epoch ms of the store's clock. */
  readonly now: () => Promise<number>;
  /** First segment of the path form. */
  readonly prefix: string;
  /** How visitors reach the public port. */
  readonly publicUrl: string;
  /** Domain of the host form; undefined: path form only. */
  readonly domain: string | undefined;
  /** The address of the client, behind whatever is trusted. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly waiting: Waiting;
  readonly logger: Logger;
}

/**
 * The visitors' entrance, for all that is not under an id: `/{prefix}/new` starts an instance.
 * `GET` and `POST` answer 307 and 303 to the instance, or its bare id with `?redirect=0`. A browser
 * that comes by a signed link, or has work to do, is shown a page first.
 */
export function createLaunchApp(launch: LaunchOptions): Koa {
  const { prefix, waiting, logger } = launch;
  const app = new Koa();
  // Around the funnel, so that it sees how each ended.
  app.use(auditStarts(launch));
  app.use(errorHandler(logger));
  app.use(async (ctx, next) => {
    ctx.set(NEVER_A_PAGE);
    await next();
  });

  const authThrottle = createWrongGuesses(GUESSES, Date.now);
  const router = new Router();
  router.all(`/${prefix}/new`, async (ctx) => {
    if (ctx.method !== 'GET' && ctx.method !== 'POST') {
      throw new ApiError({ kind: 'method_not_allowed', allow: 'GET, POST' });
    }
    const reason = unintendedReason(ctx.method, ctx.req.headers, {
      isOwn: (host) => isOwn(launch, ctx, host),
      isShared: launch.domain === undefined,
    });
    if (reason) throw new ApiError({ kind: 'unintended_request', reason });
    await authorizeAndStart({ ...launch, authThrottle }, ctx);
  });
  router.get(['/', `/${prefix}`], (ctx) => showLaunchPage(ctx, `/${prefix}/new`));
  app.use(router.routes());
  app.use(waitingRouter(waiting).routes());
  return app;
}

async function authorizeAndStart(
  launch: LaunchOptions & { readonly authThrottle: WrongGuesses },
  ctx: Context,
): Promise<void> {
  const { starter, rates, prefix, publicUrl, addressOf, logger } = launch;
  const { quotas } = starter.templates;
  const query = new URLSearchParams(ctx.querystring);
  const clientKey = clientKeyOf(addressOf(ctx.req));
  const { authorization } = ctx.req.headers;
  if (authorization !== undefined) recordStart(ctx, {});
  const principal = authenticate(launch, authorization, clientKey);
  if (principal) recordStart(ctx, { by: principal.name });
  const credentials = {
    principal,
    link: query.get('link') ?? undefined,
    work: query.get('work') ?? undefined,
    clientKey,
  };
  const asked = query.get('template') ?? undefined;
  const rules = { ...launch, quotas };
  const startAuthorization = await authenticateStart(rules, credentials);
  const { claims, countedBy, quotaOwner, by } = startAuthorization;
  const template = chosenTemplate(starter.templates, asked ?? claims?.template);
  if (claims && isNavigation(ctx.req)) {
    showLaunchPage(ctx, actionFor(prefix, query));
    return;
  }
  const quotaSubject = countedBy === 'token' ? quotaOwner.name : `address:${credentials.clientKey}`;
  await countRequest(ctx, rates, quotas, countedBy, quotaSubject);
  const grants = await requiredGrants(rules, credentials, startAuthorization, template).catch(
    (error: unknown) => {
      const failure = error instanceof ApiError ? error.failure : undefined;
      if (failure?.kind !== 'work_needed' || !prefersHtml(ctx.req.headers.accept)) throw error;
      showLaunchPage(ctx, actionFor(prefix, query), failure);
      return undefined;
    },
  );
  if (!grants) return;
  const request = { template: template.name, timeout: claims?.timeout };
  const started = await startInstance(starter, request, { quotaOwner, grants });
  const { id, generation } = started.instance;
  const how = started.kind;
  if (principal) recordStart(ctx, { id });
  logger.info({ id, generation, template: template.name, by, how }, 'instance created');
  showInstance(ctx, started, { prefix, secure: publicUrl.startsWith('https:') });
}

/** Where the page's form is sent: the same again, without work that did not do. */
function actionFor(prefix: string, query: URLSearchParams): string {
  const kept = new URLSearchParams(query);
  kept.delete('work');
  return `/${prefix}/new${kept.size > 0 ? `?${kept.toString()}` : ''}`;
}

/** What is below the domain are instances. */
function isOwn({ publicUrl }: LaunchOptions, ctx: Context, host: string): boolean {
  return host === ctx.get('host').toLowerCase() || host === new URL(publicUrl).host;
}

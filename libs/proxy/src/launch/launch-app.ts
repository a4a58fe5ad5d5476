import type { IncomingMessage } from 'node:http';
import type { SigningKeys } from '@ephemera/config';
import { ApiError, type Failure, isDead, isId } from '@ephemera/domain';
import {
  authenticateBearer,
  clientKeyOf,
  isSameOrigin,
  mountRoutes,
  prefersHtml,
  route,
} from '@ephemera/http';
import type { AuthThrottle, TokenSet } from '@ephemera/http';
import type { RedeemableGrant, RenewPorts, RequestKillPorts } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { Rates } from '@ephemera/store';
import Koa from 'koa';
import type { Context, Middleware } from 'koa';
import { errorHandler } from '../failure-page.ts';
import { isNavigation } from '../waiting/waiting-page.ts';
import type { Waiting } from '../waiting/start-events.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { waitingRoutes } from '../waiting/start-events.ts';
import { type NewQuery, publicRoutes } from '../public-routes.ts';
import { auditStarts, recordStart, authenticateStart, requiredGrants } from './authorize-start.ts';
import { countRequest } from '../starting/count-request.ts';
import { showLaunchPage, showInstance } from './launch-page.ts';
import { chosenTemplate, startInstance } from '../starting/start-instance.ts';
import type { Starter } from '../starting/start-instance.ts';
import { unintendedReason } from './unintended-request.ts';
import { instancesCookie, ownInstances } from '../visitors/own-instances.ts';
import type { OwnInstances } from '../visitors/own-instances.ts';
import { publicPathOf, visitorRoutes } from '../visitors/visitor-routes.ts';

export interface LaunchOptions {
  readonly starter: Starter;
  readonly tokens: TokenSet;
  readonly authThrottle: AuthThrottle;
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
  /** Returns the client address behind trusted proxies. */
  readonly addressOf: (req: IncomingMessage) => string;
  readonly waiting: Waiting;
  /** What visitors may do with their instances. */
  readonly killPorts: RequestKillPorts;
  readonly renewPorts: RenewPorts;
  /** Explains a path that does not exist; undefined if there is no more to say than 404. */
  readonly explainNotFound?: (req: IncomingMessage) => Failure | undefined;
  /**
   * Returns the owner of a start, if an embedding application authenticates visitors.
   * `Authorization` is then not read here.
   */
  readonly ownerOf?: (req: IncomingMessage) => string | undefined;
  /** Continues the traces of clients, where traces are recorded. */
  readonly continueTrace?: Middleware;
  readonly logger: Logger;
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/**
 * The routes for visitors, for all paths that name no instance. `/{prefix}/new` starts an instance:
 * `GET` and `POST` redirect to it with 307 and 303, or return its id with `?redirect=0`. A browser
 * with a signed link, or that needs a proof of work, gets a page first.
 */
export function createLaunchApp(launch: LaunchOptions): Koa {
  const { prefix, waiting, logger } = launch;
  const app = new Koa();
  // Outside the error handler, so that it sees the final status.
  if (launch.continueTrace) app.use(launch.continueTrace);
  app.use(auditStarts(launch));
  app.use(errorHandler(logger));
  app.use(async (ctx, next) => {
    ctx.set(NEVER_A_PAGE);
    await next();
  });

  app.use(async (ctx, next) => {
    await next();
    const failure = ctx.status === 404 ? launch.explainNotFound?.(ctx.req) : undefined;
    if (failure) throw new ApiError(failure);
  });

  const { publicUrl, domain, keys } = launch;
  const cookie = instancesCookie({
    path: `${publicPathOf(publicUrl)}/${prefix}`,
    secure: publicUrl.startsWith('https:'),
    isShared: domain === undefined,
  });
  const own = ownInstances(cookie, keys);
  const declared = publicRoutes(prefix);
  const start = async (ctx: Context, { query }: { readonly query: NewQuery }) => {
    const reason = unintendedReason(ctx.method, ctx.req.headers, {
      isOwn: (origin) => isOwn(launch, ctx, origin),
      isShared: domain === undefined,
    });
    if (reason) throw new ApiError({ kind: 'unintended_request', reason });
    await authorizeAndStart({ ...launch, own }, ctx, query);
  };
  const routes = [
    route(declared.startByLink, start),
    route(declared.startByForm, start),
    ...visitorRoutes({ ...launch, ...waiting, own, templates: () => launch.starter.templates }),
    ...waitingRoutes(waiting),
  ];
  const { checkResponses } = launch;
  // Shared links often carry extra parameters, and a form may send its button.
  app.use(mountRoutes(routes, { unknown: 'ignore', exact: false, checkResponses }));
  return app;
}

async function authorizeAndStart(
  launch: LaunchOptions & { readonly own: OwnInstances },
  ctx: Context,
  query: NewQuery,
): Promise<void> {
  const { starter, rates, prefix, publicUrl, addressOf, own, logger } = launch;
  const { quotas } = starter.templates;
  const address = addressOf(ctx.req);
  const clientKey = clientKeyOf(address);
  const authorization = launch.ownerOf ? undefined : ctx.req.headers.authorization;
  if (authorization !== undefined) recordStart(ctx, {});
  const principal = await authenticateBearer(launch, authorization, address);
  if (principal) recordStart(ctx, { by: principal.name });
  const credentials = {
    principal,
    owner: launch.ownerOf?.(ctx.req),
    link: query.link,
    work: query.work,
    clientKey,
  };
  const rules = { ...launch, quotas };
  const startAuthorization = await authenticateStart(rules, credentials);
  const { claims, countedBy, quotaOwner, by } = startAuthorization;
  const ended = await endedInstance(launch, query);
  const name = query.template ?? claims?.template ?? ended?.template;
  const template = chosenTemplate(starter.templates, name, principal !== undefined);
  if (claims && isNavigation(ctx.req)) {
    await requireUse(
      starter,
      await requiredGrants(rules, credentials, startAuthorization, template),
    );
    showLaunchPage(ctx, actionFor(prefix, ctx), template);
    return;
  }
  const quotaSubject =
    countedBy === 'address' ? `address:${credentials.clientKey}` : quotaOwner.name;
  await countRequest(ctx, rates, quotas, countedBy, quotaSubject);
  const grants = await requiredGrants(rules, credentials, startAuthorization, template).catch(
    (error: unknown) => {
      const failure = error instanceof ApiError ? error.failure : undefined;
      if (failure?.kind !== 'work_needed' || !prefersHtml(ctx.req.headers.accept)) throw error;
      showLaunchPage(ctx, actionFor(prefix, ctx), template, failure);
      return undefined;
    },
  );
  if (!grants) return;
  if (claims) {
    // A token could otherwise start without a limit, through links that it makes. A link that is used
    // up takes nothing from the token's rate, because everybody may have it.
    await requireUse(starter, grants);
    await countRequest(ctx, rates, quotas, 'token', quotaOwner.name);
  }
  // Without signing keys there is no list. Read before the start, because Redis may be unavailable.
  const remembers = query.redirect && !principal && launch.keys.hasKeys;
  const earlier = remembers ? await withoutEnded(launch, own.list(ctx.req.headers.cookie)) : [];
  const path = query.path ?? (ended?.template === template.name ? ended.path : undefined);
  const request = { template: template.name, timeout: claims?.timeout, path };
  const started = await startInstance(starter, request, { quotaOwner, grants });
  const { id, generation } = started.instance;
  const how = started.kind;
  if (principal) recordStart(ctx, { id });
  logger.info({ id, generation, template: template.name, by, how }, 'instance created');
  const secure = publicUrl.startsWith('https:');
  showInstance(ctx, started, { prefix, secure, isBare: !query.redirect });
  if (remembers) ctx.append('set-cookie', own.cookieOf([id, ...earlier]));
}

/** The instances of a browser that still exist, so that ended ones do not take their place. */
async function withoutEnded(
  { waiting: { routes } }: Pick<LaunchOptions, 'waiting'>,
  ids: readonly string[],
): Promise<string[]> {
  const found = await Promise.all(ids.map(async (id) => (await routes.find(id))?.route));
  return ids.filter((_, i) => {
    const state = found[i]?.state;
    return state !== undefined && state !== 'draining' && !isDead(state);
  });
}

/**
 * The template of the ended instance that a visitor replaces, if it still exists, and the path. The
 * path of a guarded instance may contain a secret, and everybody may name an id, so it is left out.
 */
async function endedInstance(
  { starter, waiting }: LaunchOptions,
  { again }: NewQuery,
): Promise<{ template: string; path: string | undefined } | undefined> {
  if (again === undefined || !isId(again)) return undefined;
  const instance = await waiting.instances.get(again);
  if (!instance || !(isDead(instance.state) || instance.state === 'draining')) return undefined;
  const { name } = instance.template;
  if (!starter.templates.templates.has(name)) return undefined;
  return { template: name, path: instance.accessHash === undefined ? instance.path : undefined };
}

/**
 * Checks, before a page with a button is shown, that the start would not be refused. Another visitor
 * may still be faster.
 * @throws ApiError link_refused
 */
async function requireUse(
  { intake }: Pick<Starter, 'intake'>,
  grants: readonly RedeemableGrant[],
): Promise<void> {
  for (const { name, max } of grants) {
    if ((await intake.redeemed(name)) >= max) {
      throw new ApiError({ kind: 'link_refused', reason: 'used' });
    }
  }
}

/** Returns the action of the page's form: the same request, without an invalid proof of work. */
function actionFor(prefix: string, ctx: Context): string {
  const kept = new URLSearchParams(ctx.querystring);
  kept.delete('work');
  return `/${prefix}/new${kept.size > 0 ? `?${kept.toString()}` : ''}`;
}

/** Hosts below the domain are instances, so they do not count. */
function isOwn({ publicUrl }: LaunchOptions, ctx: Context, origin: string): boolean {
  return [ctx.get('host'), new URL(publicUrl).host].some((host) => isSameOrigin(origin, host));
}

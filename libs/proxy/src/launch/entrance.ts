import type { IncomingMessage } from 'node:http';
import { FailureError } from '@ephemera/domain';
import { mountRoutes, route } from '@ephemera/http';
import { GUESSES, createWrongGuesses } from '@ephemera/http';
import type { TokenSet, WrongGuesses } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { Rates } from '@ephemera/store';
import Koa from 'koa';
import type { Context } from 'koa';
import { prefersHtml } from '../answer-failure.ts';
import { answerThrown } from '../answer-thrown.ts';
import { isNavigation } from '../waiting/is-navigation.ts';
import { NEVER_A_PAGE } from '../security-headers.ts';
import { waitingRoutes } from '../waiting/waiting-routes.ts';
import type { Waiting } from '../waiting/waiting-room.ts';
import { type NewQuery, publicRoutes } from '../public-routes.ts';
import { auditStarts, noteStart } from './audit-starts.ts';
import { shareOf } from './client-address.ts';
import { countRequest } from './count-request.ts';
import { showEntrance } from './entrance-page.ts';
import { identify, vouchersFor } from './may-start.ts';
import { readHolder } from './read-holder.ts';
import { showInstance } from './show-instance.ts';
import type { SigningKeys } from './signing-keys.ts';
import { chosenTemplate, startInstance } from './start-instance.ts';
import type { Starter } from './start-instance.ts';
import { whyUnasked } from './unasked.ts';

export interface Entrance {
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
  /** Whether each response is checked against its declaration, for tests. */
  readonly checkResponses?: boolean;
}

/**
 * The visitors' entrance, for all that is not under an id: `/{prefix}/new` starts an instance.
 * `GET` and `POST` answer 307 and 303 to the instance, or its bare id with `?redirect=0`. A browser
 * that comes by a signed link, or has work to do, is shown a page first.
 */
export function createEntrance(entrance: Entrance): Koa {
  const { prefix, waiting, logger } = entrance;
  const app = new Koa();
  // Around the funnel, so that it sees how each ended.
  app.use(auditStarts(entrance));
  app.use(answerThrown(logger));
  app.use(async (ctx, next) => {
    ctx.set(NEVER_A_PAGE);
    await next();
  });

  const guesses = createWrongGuesses(GUESSES, Date.now);
  const declared = publicRoutes(prefix);
  const start = async (ctx: Context, { query }: { readonly query: NewQuery }) => {
    const why = whyUnasked(ctx.method, ctx.req.headers, {
      isOwn: (host) => isOwn(entrance, ctx, host),
      isShared: entrance.domain === undefined,
    });
    if (why) throw new FailureError({ kind: 'unasked', why });
    await admitAndStart({ ...entrance, guesses }, ctx, query);
  };
  const show = (ctx: Context) => showEntrance(ctx, `/${prefix}/new`);
  const routes = [
    route(declared.startByLink, start),
    route(declared.startByForm, start),
    route(declared.root, show),
    route(declared.entrance, show),
    ...waitingRoutes(waiting),
  ];
  const { checkResponses } = entrance;
  // A link may carry what others have added to it, and a form its button.
  app.use(mountRoutes(routes, { unknown: 'ignore', exact: false, checkResponses }));
  return app;
}

async function admitAndStart(
  entrance: Entrance & { readonly guesses: WrongGuesses },
  ctx: Context,
  query: NewQuery,
): Promise<void> {
  const { starter, rates, prefix, publicUrl, addressOf, logger } = entrance;
  const { shares } = starter.templates;
  const share = shareOf(addressOf(ctx.req));
  const { authorization } = ctx.req.headers;
  if (authorization !== undefined) noteStart(ctx, {});
  const holder = readHolder(entrance, authorization, share);
  if (holder) noteStart(ctx, { by: holder.name });
  const petition = {
    holder,
    link: query.link,
    work: query.work,
    share,
  };
  const rules = { ...entrance, shares };
  const permit = await identify(rules, petition);
  const { grant, counts, owner, by } = permit;
  const template = chosenTemplate(starter.templates, query.template ?? grant?.template);
  if (grant && isNavigation(ctx.req)) {
    showEntrance(ctx, actionFor(prefix, ctx));
    return;
  }
  const account = counts === 'token' ? owner.name : `address:${petition.share}`;
  await countRequest(ctx, rates, shares, counts, account);
  const vouchers = await vouchersFor(rules, petition, permit, template).catch((error: unknown) => {
    const failure = error instanceof FailureError ? error.failure : undefined;
    if (failure?.kind !== 'work_needed' || !prefersHtml(ctx.req.headers.accept)) throw error;
    showEntrance(ctx, actionFor(prefix, ctx), failure);
    return undefined;
  });
  if (!vouchers) return;
  const request = { template: template.name, timeout: grant?.timeout };
  const started = await startInstance(starter, request, { owner, vouchers });
  const { id, generation } = started.instance;
  const how = started.kind;
  if (holder) noteStart(ctx, { id });
  logger.info({ id, generation, template: template.name, by, how }, 'instance created');
  const secure = publicUrl.startsWith('https:');
  showInstance(ctx, started, { prefix, secure, isBare: !query.redirect });
}

/** Where the page's form is sent: the same again, without work that did not do. */
function actionFor(prefix: string, ctx: Context): string {
  const kept = new URLSearchParams(ctx.querystring);
  kept.delete('work');
  return `/${prefix}/new${kept.size > 0 ? `?${kept.toString()}` : ''}`;
}

/** What is below the domain are instances. */
function isOwn({ publicUrl }: Entrance, ctx: Context, host: string): boolean {
  return host === ctx.get('host').toLowerCase() || host === new URL(publicUrl).host;
}

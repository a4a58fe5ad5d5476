import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TemplateSet } from '@ephemera/config';
import { ApiError, landingUrl } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { prefersHtml, route } from '@ephemera/http';
import type { BoundRoute, Html } from '@ephemera/http';
import { renew, requestKill } from '@ephemera/lifecycle';
import type { RenewPorts, RequestKillPorts } from '@ephemera/lifecycle';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, Rates, RouteCache } from '@ephemera/store';
import type { Context } from 'koa';
import { page } from '../page.ts';
import { publicRoutes } from '../public-routes.ts';
import { galleryPage } from './gallery-page.ts';
import { instancePage } from './instance-page.ts';
import { viewInstance } from './instance-view.ts';
import type { OwnInstances } from './own-instances.ts';
import { refusal, requireOwnForm, visitorOf } from './visitor-access.ts';
import type { Visitor } from './visitor-access.ts';

export interface VisitorOptions {
  readonly routes: Pick<RouteCache, 'find'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly templates: () => TemplateSet;
  readonly own: OwnInstances;
  readonly rates: Rates;
  readonly killPorts: RequestKillPorts;
  readonly renewPorts: RenewPorts;
  /** Epoch ms of the store's clock. */
  readonly now: () => Promise<number>;
  /** First segment of the path form. */
  readonly prefix: string;
  /** How visitors reach the public port. */
  readonly publicUrl: string;
  /** Domain of the host form; undefined: path form only. */
  readonly domain: string | undefined;
  readonly logger: Pick<Logger, 'info'>;
}

/** Changes of one instance by visitors. Each renewal is an event. */
const CHANGES = { points: 10, seconds: 60 };

/** How long browsers and caches keep the script for applications, s. */
const SCRIPT_MAX_AGE = 3_600;

const clock = readFileSync(new URL('./clock.js', import.meta.url), 'utf8');
const countdown = readFileSync(new URL('./countdown.js', import.meta.url), 'utf8');

/** The routes of the gallery, and of the page of an instance. */
export function visitorRoutes(options: VisitorOptions): BoundRoute[] {
  const { prefix, publicUrl, domain, instances, logger } = options;
  const declared = publicRoutes(prefix);
  const home = `${publicPathOf(publicUrl)}/${prefix}/`;

  /** A load balancer may have removed the port from the Host that visitors see. */
  const ownPages = (ctx: Context) => ({
    hosts: [ctx.get('host'), new URL(publicUrl).host],
    isShared: domain === undefined,
  });

  const showGallery = async (ctx: Context): Promise<void> => {
    const { templates, defaultTemplate } = options.templates();
    const listed = [...templates.values()].filter(({ gallery }) => gallery === true);
    const own = mayListOwn(ctx, domain) ? await readOwn(ctx) : [];
    const { title, description } = defaultTemplate;
    const shown = listed.length > 0 ? listed : [{ title, description, name: undefined }];
    const body = galleryPage(shown, own, `${home}new`);
    // In path form, scripts of instances share the origin. In a sandbox the page has an origin of its
    // own, so that a script that opens it cannot read the list.
    sendPage(ctx, 'Start an instance', body, { layout: 'wide', sandboxed: domain === undefined });
  };

  const readOwn = async (ctx: Context) => {
    const ids = options.own.list(ctx.req.headers.cookie);
    if (ids.length === 0) return [];
    const now = await options.now();
    const found = await Promise.all(
      ids.map(async (id) => ({
        instance: await instances.get(id),
        routed: (await options.routes.find(id))?.route,
      })),
    );
    return found.flatMap(({ instance, routed }) => {
      if (instance === undefined) return [];
      const view = viewInstance(instance, routed, { role: 'owner', mayChange: false }, now);
      return [{ view, open: openUrl(instance, 'owner'), details: `${home}-/${instance.id}/` }];
    });
  };

  const known = async (ctx: Context, id: string) => {
    const routed = (await options.routes.find(id))?.route;
    const visitor = visitorOf(ctx.req, id, routed, { own: options.own, ...ownPages(ctx) });
    const instance = routed && (await instances.get(id));
    if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance' });
    return { instance, visitor, routed };
  };

  const showInstance = route(declared.showInstance, async (ctx, { params: { id } }) => {
    const { instance, visitor, routed } = await known(ctx, id);
    const view = viewInstance(instance, routed, visitor, await options.now());
    ctx.vary('Accept');
    if (!prefersHtml(ctx.get('accept'))) {
      ctx.body = view;
      return;
    }
    const gallery = domain === undefined ? home : `${publicUrl}/${prefix}/`;
    const { visitor: allowed, isImageNamed } = instance.template;
    const { renew: renewal, end } = allowed ?? {};
    const links = {
      open: openUrl(instance, visitor.role),
      own: ctx.path.endsWith('/') ? '' : `${id}/`,
      gallery,
      // A visitor starts the image of the template only, which is another application.
      again: isImageNamed === true ? undefined : `${gallery}new?again=${id}`,
    };
    const isUnproven =
      visitor.role === 'owner' && !visitor.mayChange && (renewal !== undefined || end === true);
    const body = instancePage(view, links, { isUnproven });
    sendPage(ctx, view.title ?? 'Your instance', body);
  });

  const change = async (ctx: Context, id: string, what: 'renew' | 'end'): Promise<Visitor> => {
    const { instance, visitor } = await known(ctx, id);
    if (visitor.role !== 'owner') {
      throw refusal('only the browser that started this instance may do this');
    }
    if (visitor.by === 'cookie') {
      requireOwnForm(ctx.req.headers, ownPages(ctx));
    }
    const { renew: renewal, end } = instance.template.visitor ?? {};
    if (what === 'renew' ? renewal === undefined : end !== true) {
      throw refusal(`visitors may not ${what} instances of this template`);
    }
    const { allowed, resetsIn } = await options.rates.take(`visitor:${id}`, CHANGES);
    if (!allowed) throw new ApiError({ kind: 'rate_limited', by: 'address', resetsIn });
    if (what === 'renew' && renewal !== undefined)
      await renewLease(options.renewPorts, id, renewal);
    else await endInstance(options.killPorts, instance);
    logger.info({ id, by: 'visitor' }, what === 'renew' ? 'lease renewed' : 'kill requested');
    return visitor;
  };

  const respond = async (ctx: Context, id: string, visitor: Visitor): Promise<void> => {
    if (prefersHtml(ctx.get('accept'))) {
      ctx.status = 303;
      // The page of the instance, in both address forms.
      ctx.set('location', './');
      ctx.body = '';
      return;
    }
    const instance = await instances.get(id);
    if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance' });
    const routed = (await options.routes.find(id))?.route;
    ctx.body = viewInstance(instance, routed, visitor, await options.now());
  };

  const changes = (['renew', 'end'] as const).map((what) =>
    route(declared[`${what}OwnInstance`], async (ctx, { params: { id } }) => {
      await respond(ctx, id, await change(ctx, id, what));
    }),
  );

  const readScript = route(declared.readCountdown, (ctx) => {
    ctx.type = 'text/javascript';
    ctx.set('cache-control', `public, max-age=${SCRIPT_MAX_AGE}`);
    ctx.body = countdown;
  });

  return [
    route(declared.showRootPage, showGallery),
    route(declared.showGallery, showGallery),
    showInstance,
    ...changes,
    readScript,
  ];
}

/**
 * Where an instance opens. A guest gets its address, because the landing path may contain a secret.
 * In path form only the path, so that the visitor keeps the host and the scheme.
 */
function openUrl(instance: Instance, role: Visitor['role']): string {
  const { url, token } = instance;
  const open = new URL(role === 'owner' ? landingUrl(instance, token) : url);
  const isOwnOrigin = new URL(url).pathname === '/';
  return isOwnOrigin ? open.href : open.pathname + open.search + open.hash;
}

/** The path of the public URL, without a slash at the end. */
export function publicPathOf(publicUrl: string): string {
  return new URL(publicUrl).pathname.replace(/\/$/, '');
}

/**
 * Whether the gallery may list the instances of the browser. In path form scripts of instances could
 * fetch the list, so only a page that a browser opens has it. Over plain HTTP browsers do not say
 * what they open.
 */
function mayListOwn({ req: { headers } }: Context, domain: string | undefined): boolean {
  if (domain !== undefined) return true;
  return headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
}

function sendPage(
  ctx: Context,
  title: string,
  body: Html,
  { layout = 'card', sandboxed = false }: { layout?: 'card' | 'wide'; sandboxed?: boolean } = {},
): void {
  const nonce = randomBytes(18).toString('base64');
  ctx.type = 'html';
  // No form-action: it would also apply to the redirect to the instance's own origin.
  ctx.set(
    'content-security-policy',
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'${sandboxed ? '; sandbox allow-forms allow-scripts' : ''}`,
  );
  // The addresses are secrets. `no-referrer` would make the forms of the page send `Origin: null`.
  ctx.set('referrer-policy', sandboxed ? 'no-referrer' : 'same-origin');
  ctx.vary('Sec-Fetch-Mode');
  ctx.body = page(title, body.markup, { layout, script: { text: clock, nonce } });
}

/** A renewal never moves the deadline earlier: then it changes nothing. */
async function renewLease(ports: RenewPorts, id: string, timeout: number): Promise<void> {
  const renewed = await renew(ports, id, { timeout, shorten: false });
  switch (renewed.kind) {
    case 'renewed':
    case 'earlier':
      return;
    case 'starting':
      throw new ApiError({ kind: 'not_ready', id });
    case 'absent':
      throw new ApiError({ kind: 'not_found', what: 'instance' });
    case 'ended':
      throw goneError(renewed.instance);
  }
}

async function endInstance(ports: RequestKillPorts, instance: Instance): Promise<void> {
  const { kind } = await requestKill(ports, instance.id);
  if (kind !== 'draining') throw goneError(instance);
}

function goneError({ id, reason = 'request' }: Pick<Instance, 'id' | 'reason'>): ApiError {
  return new ApiError({ kind: 'gone', id, reason });
}

import type { IncomingMessage } from 'node:http';
import { isName } from '@ephemera/domain';
import type { Failure } from '@ephemera/domain';
import type { Logger } from '@ephemera/process';
import type { InstanceStore, RouteCache } from '@ephemera/store';
import { checkAccess } from './access/check-access.ts';
import { knownConnection } from './data-plane/client-connection.ts';
import { quote } from './data-plane/upstream/response-parser.ts';
import type { WarningReport } from './warning-report.ts';

// In path form all instances share one origin, below `/{prefix}/{id}/`. An application that does not
// know its base path asks for `/static/app.js`, which is no path of its instance: its pages stay
// blank. The 404 then says why.

export interface MissingBasePathOptions {
  /** First segment of the path form. */
  readonly prefix: string;
  /** How visitors reach the public port. */
  readonly publicUrl: string;
  /** Domain of the host form. With it, no pages are served in path form. */
  readonly domain: string | undefined;
  readonly routes: Pick<RouteCache, 'find' | 'findName'>;
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly report: Pick<WarningReport, 'isDue' | 'save'>;
  readonly logger: Pick<Logger, 'warn' | 'debug'>;
}

/** Browsers and crawlers ask for these on their own, whatever the page contains. */
const AUTOMATIC = /^\/(?:favicon\.ico|robots\.txt|apple-touch-icon[\w-]*\.png|\.well-known\/.*)$/;
/** Templates that are remembered as logged. */
const MAX_LOGGED_TEMPLATES = 1_000;

/**
 * Recognizes requests outside every instance that a page of an instance caused.
 *
 * The response depends only on what the client sent, so it discloses nothing about an id. A warning
 * is written only for an instance that exists and that the client can open.
 *
 * @returns a function that returns the failure that explains the 404, or undefined
 */
export function missingBasePath(options: MissingBasePathOptions) {
  const { prefix, domain, routes, instances, report, logger } = options;
  const { host: publicHost, pathname } = new URL(options.publicUrl);
  const outer = pathname.replace(/\/$/, '');
  const loggedTemplates = new Set<string>();
  /** Ids whose warning is being written, so that a burst of requests costs one write. */
  const pending = new Set<string>();

  return (req: IncomingMessage): Failure | undefined => {
    if (domain !== undefined) return undefined;
    const path = (req.url ?? '').split('?', 1)[0] ?? '';
    if (AUTOMATIC.test(path)) return undefined;
    const page = referringPage(req, ownHosts(req, publicHost), { prefix, outer });
    if (page === undefined) return undefined;
    if (page.id !== undefined) void note(req, page.id, path);
    else if (page.name !== undefined) void noteNamed(req, page.name, path);
    return { kind: 'missing_base_path', prefix };
  };

  async function noteNamed(req: IncomingMessage, name: string, path: string): Promise<void> {
    try {
      const named = await routes.findName(name);
      if (named) await note(req, named.id, path);
    } catch (error) {
      logger.debug({ err: error, name }, 'missing base path not noted');
    }
  }

  /** Warns the owner and the operator. Unknown ids leave nothing behind. */
  async function note(req: IncomingMessage, id: string, path: string): Promise<void> {
    if (pending.has(id) || !report.isDue(id, 'missing_base_path')) return;
    pending.add(id);
    try {
      const route = (await routes.find(id))?.route;
      if (route?.state !== 'ready' || !canOpen(req, id, route)) return;
      const instance = await instances.get(id);
      if (!instance) return;
      const template = instance.template.name;
      const detail =
        `A page of this instance asked for ${quote(path)} at the root of the public port, ` +
        `outside /${prefix}/${id}/. ${CURE}`;
      report.save(id, { kind: 'missing_base_path', detail });
      if (loggedTemplates.has(template) || loggedTemplates.size >= MAX_LOGGED_TEMPLATES) return;
      loggedTemplates.add(template);
      logger.warn({ id, template, detail }, 'application does not know its base path');
    } catch (error) {
      logger.debug({ err: error, id }, 'missing base path not noted');
    } finally {
      pending.delete(id);
    }
  }
}

const CURE =
  'Set `stripPrefix: false` in the template and pass `{basePath}` to the application in `command` ' +
  'or `env`, or set `EPHEMERA_DOMAIN` to serve each instance on its own origin.';

/**
 * Whether this client can open the instance. The access cookie of the path form is not sent to the
 * root, so a guarded instance counts as opened if the same connection has opened it. A connection of
 * a load balancer carries requests of several clients and proves nothing.
 */
function canOpen(
  req: IncomingMessage,
  id: string,
  route: NonNullable<Parameters<typeof checkAccess>[1]>,
): boolean {
  if (route.access === undefined) return true;
  const connection = knownConnection(req.socket);
  if (connection?.isTrusted === false && connection.openedGuarded === id) return true;
  return checkAccess({ headers: req.headers }, route).kind === 'token_presented';
}

/** The hosts of this origin: as sent, as a trusted peer says, and as configured. */
function ownHosts({ headers, socket }: IncomingMessage, publicHost: string): string[] {
  const forwarded = headers['x-forwarded-host'];
  const isTrusted = knownConnection(socket)?.isTrusted === true;
  const visited = isTrusted ? String(forwarded ?? '').split(',', 1) : [];
  return [headers.host ?? '', ...visited, publicHost].map(normalHost).filter((host) => host !== '');
}

/** A host in lower case, without a final dot and without a default port (RFC 3986 section 6.2). */
function normalHost(host: string): string {
  return host
    .trim()
    .toLowerCase()
    .replace(/:(?:80|443)?$/, '')
    .replace(/\.(?=:|$)/, '');
}

/**
 * The page of an instance that caused a request, with its id or name if the request tells. Undefined if
 * another page, or no page, caused it.
 *
 * Referrer-Policy may reduce `Referer` to the origin or remove it. Fetch Metadata then shows that a
 * page of this origin loads a part of itself. The product's own pages load no such parts, and a
 * WebSocket has only `Origin`.
 */
function referringPage(
  { headers }: IncomingMessage,
  own: readonly string[],
  { prefix, outer }: { readonly prefix: string; readonly outer: string },
): { readonly id: string | undefined; readonly name?: string | undefined } | undefined {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') return undefined;
  const isOwn = (url: URL | null): url is URL =>
    url !== null && /^https?:$/.test(url.protocol) && own.includes(normalHost(url.host));
  const unnamed = { id: undefined };
  if (headers.referer === undefined) {
    if (headers.upgrade !== undefined) {
      return isOwn(URL.parse(headers.origin ?? '')) ? unnamed : undefined;
    }
    return site === 'same-origin' && headers['sec-fetch-mode'] !== 'navigate' ? unnamed : undefined;
  }
  const referer = URL.parse(headers.referer);
  if (!isOwn(referer)) return undefined;
  if (referer.pathname === '/') return unnamed;
  const path = referer.pathname.startsWith(`${outer}/`)
    ? referer.pathname.slice(outer.length)
    : referer.pathname;
  if (!path.startsWith(`/${prefix}/`)) return undefined;
  const [, id, name] =
    /^(?:([a-z][a-z0-9]{25})|@([a-z0-9-]+))(?::[a-zA-Z0-9-]+)?(?:\/|$)/.exec(
      path.slice(prefix.length + 2),
    ) ?? [];
  if (name !== undefined) return isName(name) ? { id, name } : undefined;
  return id === undefined ? undefined : { id };
}

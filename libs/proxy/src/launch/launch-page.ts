import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { landingUrl } from '@ephemera/domain';
import type { Template } from '@ephemera/domain';
import { escapeHtml } from '@ephemera/http';
import type { Context } from 'koa';
import { accessCookies, accessLink, ACCESS_HEADER } from '../access/access-token.ts';
import { page } from '../page.ts';
import type { Started } from '../starting/start-instance.ts';

const script = readFileSync(new URL('./solve.js', import.meta.url), 'utf8');

/** A proof of work that the page solves before it continues. */
interface WorkChallenge {
  readonly challenge: string;
  readonly bits: number;
}

/**
 * Shows the page with the button that starts an instance. With a proof of work, the page solves it
 * and submits the form. The target receives at most the origin as `Referer`, because the URL of
 * this page may contain a link token.
 *
 * @param action target of the form, as an absolute path
 * @param template its title and its description are shown; its name is not for visitors
 */
export function showLaunchPage(
  ctx: Context,
  action: string,
  { title, description }: Pick<Template, 'title' | 'description'>,
  work?: WorkChallenge,
): void {
  const nonce = randomBytes(18).toString('base64');
  const scripts = work ? ` script-src 'nonce-${nonce}';` : '';
  ctx.type = 'html';
  // No form-action: it would also apply to the redirect to the instance's own origin.
  ctx.set(
    'content-security-policy',
    `default-src 'none';${scripts} style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'`,
  );
  ctx.set('referrer-policy', 'strict-origin');
  ctx.set('cache-control', 'no-store');
  const dataAttributes =
    work && ` data-challenge="${escapeHtml(work.challenge)}" data-bits="${work.bits}"`;
  const form = `<form method="post" action="${escapeHtml(action)}"${dataAttributes ?? ''}>`;
  const parts = work
    ? [
        `<h1>${escapeHtml(title ?? 'One moment')}</h1>`,
        '<p role="status">Your browser solves a short computation first. This keeps bots away.</p>',
        `${form}</form>`,
        '<noscript><p>This needs JavaScript.</p></noscript>',
        `<script type="module" nonce="${nonce}">\n${script}</script>`,
      ]
    : [
        `<h1>${escapeHtml(title ?? 'Your own instance')}</h1>`,
        ...(description === undefined ? [] : [`<p>${escapeHtml(description)}</p>`]),
        '<p>It starts on request. Only you get its address. It is removed when its time to live ends.</p>',
        `${form}<button>Start an instance</button></form>`,
      ];
  const heading = title === undefined ? 'Start an instance' : `Start ${title}`;
  ctx.body = page(heading, parts.join('\n'));
}

/** How the response presents an instance. */
interface PresentOptions {
  readonly prefix: string;
  /** Whether the public URL uses TLS. */
  readonly secure: boolean;
  /** Whether the response is the bare id instead of a redirect. */
  readonly isBare: boolean;
}

/**
 * Redirects a visitor to the started instance, or returns its bare id with `?redirect=0`. For a
 * guarded instance the browser also gets its access cookie; for an instance on its own origin, the
 * redirect URL carries the token, and the proxy sets the cookie there. The token header is sent to
 * programs, and to browsers only where the template lets visitors share it.
 *
 * The redirect leads to the landing path: `path` of the request, else `open` of the template.
 */
export function showInstance(
  ctx: Context,
  { instance, accessToken }: Pick<Started, 'instance' | 'accessToken'>,
  { prefix, secure, isBare }: PresentOptions,
): void {
  const { id, url: baseUrl, template } = instance;
  const isOwnOrigin = new URL(baseUrl).pathname === '/';
  const url = landingUrl(instance, instance.token);
  ctx.set('cache-control', 'no-store');
  ctx.set('referrer-policy', 'no-referrer');
  ctx.type = 'text/plain';
  if (accessToken !== undefined) {
    if (isBare || template.access === 'token') ctx.set(ACCESS_HEADER, accessToken);
    const ports = Object.keys(template.ports);
    const bound = { prefix, id, ports, form: 'path', secure } as const;
    if (!isOwnOrigin) ctx.set('set-cookie', accessCookies(accessToken, bound));
  }
  if (isBare) {
    ctx.body = id;
    return;
  }
  ctx.status = ctx.method === 'POST' ? 303 : 307;
  // A path-only Location keeps the host and the scheme that the visitor used.
  const own = accessToken === undefined ? url : accessLink(url, accessToken);
  const { pathname, search, hash } = new URL(url);
  ctx.set('location', isOwnOrigin ? own : pathname + search + hash);
  ctx.body = `${url}\n`;
}

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { escapeHtml } from '@ephemera/http';
import type { Context } from 'koa';
import { page } from '../failure-page.ts';

const script = readFileSync(new URL('./solve.js', import.meta.url), 'utf8');

/** Work that the page does before it goes on by itself. */
interface WorkChallenge {
  readonly challenge: string;
  readonly bits: number;
}

/**
 * The page with the button that starts an instance; with work to do, it does it and goes on. To
 * where it leads, the browser tells of this page the origin at most: its address may hold a link.
 *
 * @param action where the form is sent, from the root
 */
export function showLaunchPage(ctx: Context, action: string, work?: WorkChallenge): void {
  const nonce = randomBytes(18).toString('base64');
  const scripts = work ? ` script-src 'nonce-${nonce}';` : '';
  ctx.type = 'html';
  // No form-action: it would hold for where the form leads, the instance's own origin, too.
  ctx.set(
    'content-security-policy',
    `default-src 'none';${scripts} style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'`,
  );
  ctx.set('referrer-policy', 'strict-origin');
  ctx.set('cache-control', 'no-store');
  const hostRpc =
    work && ` data-challenge="${escapeHtml(work.challenge)}" data-bits="${work.bits}"`;
  const form = `<form method="post" action="${escapeHtml(action)}"${hostRpc ?? ''}>`;
  const parts = work
    ? [
        '<h1>One moment</h1>',
        '<p role="status">Your browser does a little work first, which keeps robots away.</p>',
        `${form}</form>`,
        '<noscript><p>This needs JavaScript.</p></noscript>',
        `<script type="module" nonce="${nonce}">\n${script}</script>`,
      ]
    : [
        '<h1>Your own instance</h1>',
        '<p>It starts when you ask for it, is reached by you alone, and is gone when its time is up.</p>',
        `${form}<button>Start an instance</button></form>`,
      ];
  ctx.body = page('Start an instance', parts.join('\n'));
}

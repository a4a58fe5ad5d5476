import type { Problem } from '@ephemera/contract';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import { LOGOUT } from '../dashboard-routes.ts';

export interface Page {
  readonly title: string;
  /** The open part of the navigation; absent on pages without a session. */
  readonly here?: 'instances' | 'templates' | 'ended' | 'events';
  readonly script?: string;
  /** A further style sheet. */
  readonly style?: string;
  readonly body: Html;
}

/**
 * Renders a whole page. Style and script are separate files, because the content policy allows no
 * inline ones.
 */
export function layout({ title, here, script, style, body }: Page): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title} · Ephemera</title>
        <link rel="icon" href="/dashboard/assets/ring.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/dashboard/assets/style.css" />
        <link rel="stylesheet" href="/dashboard/assets/console.css" />
        ${style && html`<link rel="stylesheet" href="/dashboard/assets/${style}" />`}
        ${script && html`<script type="module" src="/dashboard/assets/${script}"></script>`}
      </head>
      <body>
        ${here && banner(here)}
        <main class="${here ? 'wide' : 'card'}">${body}</main>
      </body>
    </html> `.markup;
}

function banner(here: Page['here']): Html {
  return html`<header>
    <span class="brand"
      ><img src="/dashboard/assets/ring.svg" alt="" width="22" height="22" /> Ephemera</span
    >
    <nav aria-label="Dashboard">
      <a href="/dashboard/instances" ${here === 'instances' && html`aria-current="page"`}
        >Instances</a
      >
      <a href="/dashboard/templates" ${here === 'templates' && html`aria-current="page"`}
        >Templates</a
      >
      <a href="/dashboard/ended" ${here === 'ended' && html`aria-current="page"`}>Ended</a>
      <a href="/dashboard/events" ${here === 'events' && html`aria-current="page"`}>Events</a>
      <a href="/dashboard/queues">Queues</a>
    </nav>
    <form method="post" action="${LOGOUT}"><button class="quiet">Log out</button></form>
  </header>`;
}

/** Renders the page of a problem. */
export function messagePage({ status, title, detail }: Problem): string {
  return layout({
    title,
    body: html` <p class="soft">${status}</p>
      <h1>${title}</h1>
      <p>${detail}</p>
      <p><a href="/dashboard/instances">Instances</a></p>`,
  });
}

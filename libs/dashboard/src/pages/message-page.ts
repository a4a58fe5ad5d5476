import type { Problem } from '@ephemera/contract';
import { html } from '@ephemera/http';
import { layout } from './layout.ts';

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

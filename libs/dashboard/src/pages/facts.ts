import type { Limits } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Fragment, Html } from '@ephemera/http';

/** A card of a page. */
export function section(title: string, body: Html): Html {
  return html`<section class="panel">
    <h2>${title}</h2>
    ${body}
  </section>`;
}

/** A description list. Rows without a value are left out. */
export function factList(rows: readonly (readonly [string, Fragment])[]): Html {
  const shown = rows.filter(([, value]) => value !== undefined && value !== false);
  return html`<dl class="facts">
    ${shown.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** The limits of a container in one line. @param limits memory in bytes */
export function limitsText({ memory, cpus, pids }: Limits): string {
  return `${Math.round(memory / 1024 ** 2)} MiB memory, ${cpus} CPU, ${pids} processes`;
}

import type { Template } from '@ephemera/domain';
import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import type { InstanceView } from './instance-view-schema.ts';
import { EXPIRING_NOTICE, timeLeft } from './instance-page.ts';

/** An instance of the browser, with its addresses. */
export interface OwnInstance {
  readonly view: InstanceView;
  readonly open: string;
  readonly details: string;
}

/** A template in the gallery. Without a name, it is the default template, whose name is not shown. */
export type GalleryTemplate = Pick<Template, 'title' | 'description'> & {
  readonly name: string | undefined;
};

/**
 * The page with the templates that visitors may start, and with the instances that their browser
 * has started.
 *
 * @param start the address that starts an instance of a template
 */
export function galleryPage(
  templates: readonly GalleryTemplate[],
  own: readonly OwnInstance[],
  start: string,
): Html {
  const live = own.filter(({ view }) => view.state !== 'ended');
  return html`<h1>Start your own instance</h1>
    <p>It starts on request. Only you get its address. It is removed when its time to live ends.</p>
    ${EXPIRING_NOTICE}
    ${
      live.length > 0 &&
      html`<h2>Your instances</h2>
        <ul class="tiles">
          ${live.map(ownTile)}
        </ul>`
    }
    <h2>What you can start</h2>
    <ul class="tiles">
      ${templates.map((template) => templateTile(template, start))}
    </ul>`;
}

function ownTile({ view, open, details }: OwnInstance): Html {
  const left = timeLeft(view);
  const name = view.title ?? 'Instance';
  return html`<li>
    <h3>${name}</h3>
    <p>${left ? html`${view.pauses === true ? 'Pauses' : 'Ends'} in ${left}.` : view.text}</p>
    <div class="actions">
      <a class="button" href="${open}" aria-label="Open ${name}">Open</a>
      <a href="${details}" aria-label="Details of ${name}">Details</a>
    </div>
  </li>`;
}

/** A GET, because the page may have an opaque origin, whose posts have no cookies. */
function templateTile({ name, title, description }: GalleryTemplate, start: string): Html {
  const heading = title ?? name ?? 'A new instance';
  return html`<li>
    <h3>${heading}</h3>
    ${description !== undefined && html`<p>${description}</p>`}
    <form action="${start}">
      ${name !== undefined && html`<input type="hidden" name="template" value="${name}" />`}
      <button aria-label="Start ${heading}">Start</button>
    </form>
  </li>`;
}

import { html } from '@ephemera/http';
import type { Html } from '@ephemera/http';
import { detailBelowHeading } from '../page-headings.ts';
import type { InstanceView } from './instance-view-schema.ts';
import { MIN_RENEWAL_MS } from './instance-view.ts';

/** Where a page of an instance leads. */
interface InstanceLinks {
  /** Where the instance opens. */
  readonly open: string;
  /** The folder of the page itself; `renew` and `end` are below it. */
  readonly own: string;
  /** The gallery. */
  readonly gallery: string;
  /** Starts another instance of the same template. */
  readonly again: string | undefined;
}

/** The time left of an instance, which the script of the page counts down. */
export function timeLeft({
  title,
  secondsLeft,
  noticeSeconds,
  pauses = false,
}: InstanceView): Html | undefined {
  if (secondsLeft === undefined) return undefined;
  const minutes = Math.floor(secondsLeft / 60);
  const text = minutes > 0 ? `${minutes} min ${secondsLeft % 60} s` : `${secondsLeft} s`;
  return html`<span
    class="left"
    data-left="${secondsLeft}"
    data-notice="${noticeSeconds}"
    data-title="${title ?? 'The instance'}"
    data-pauses="${String(pauses)}"
    >${text}</span
  >`;
}

/** Announces to people, also by screen readers, that an instance is about to end. */
export const EXPIRING_NOTICE = html`<p id="expiring" class="expiring" role="status"></p>`;

const UNPROVEN_NOTICE = html`<p class="soft small">
  To extend or end it, open this page over HTTPS in a current browser. Otherwise the browser does
  not say whether this page or a script of an instance sends a request.
</p>`;

/**
 * The page of one instance: its state, its time left, and what its visitor may do.
 *
 * @param isUnproven whether the template allows its visitor changes that this browser cannot prove
 */
export function instancePage(
  view: InstanceView,
  links: InstanceLinks,
  { isUnproven }: { readonly isUnproven: boolean },
): Html {
  const { title, state, text, mayRenew, mayEnd, renewSeconds } = view;
  const name = title ?? 'This instance';
  if (state === 'ended') {
    return html`<h1>${name} has ended</h1>
      <p>${detailBelowHeading(text)}</p>
      ${links.again !== undefined && againForm(links.again)}
      <p class="small"><a href="${links.gallery}">Start page</a></p>`;
  }
  const left = timeLeft(view);
  const quickly = renewSeconds === undefined ? '' : ` to ${durationText(renewSeconds)}`;
  return html`<h1>${name}</h1>
    <p>${text} ${left && html`It ${view.pauses === true ? 'pauses' : 'ends'} in ${left}.`}</p>
    ${EXPIRING_NOTICE}
    <div class="actions">
      <a class="button" href="${links.open}">Open</a>
      ${
        mayRenew &&
        html`<form method="post" action="${links.own}renew">
          <button class="quiet">Extend${quickly}</button>
        </form>`
      }
      ${
        mayEnd &&
        html`<form method="post" action="${links.own}end" data-confirm="End ${name} now?">
          <button class="quiet">End now</button>
        </form>`
      }
    </div>
    ${isUnproven && UNPROVEN_NOTICE} ${!isUnproven && !mayRenew && whyNotExtended(view)}
    <p class="small"><a href="${links.gallery}">Start page</a></p>`;
}

/** Why the visitor cannot extend a running instance, and when it can. */
function whyNotExtended({ renewSeconds, expiresAt, maxExpiresAt }: InstanceView): Html | undefined {
  if (renewSeconds === undefined || expiresAt === undefined || maxExpiresAt === undefined) {
    return undefined;
  }
  const why =
    Date.parse(maxExpiresAt) - Date.parse(expiresAt) <= MIN_RENEWAL_MS
      ? 'It cannot be extended: it already lasts as long as it may.'
      : `It can be extended when less than ${durationText(renewSeconds)} are left.`;
  return html`<p class="soft small">${why}</p>`;
}

/** Starts another instance by a GET, which no page of another origin can send unseen. */
function againForm(again: string): Html {
  const [action = '', query = ''] = again.split('?');
  const fields = [...new URLSearchParams(query)].map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
  );
  return html`<form action="${action}">${fields}<button>Start another</button></form>`;
}

/** `900` → `15 min`. */
function durationText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? '' : ` ${minutes % 60} min`}`;
}

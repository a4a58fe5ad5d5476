import { CARD_STYLE, escapeHtml, inlineLogo, LOGO_ICON, PAGE_STYLE } from '@ephemera/http';

/** The style of the pages for visitors: that of the whole product, and what only they have. */
export const VISITOR_STYLE = `${PAGE_STYLE}${CARD_STYLE}main.card { width: min(36rem, 100%) }
main > svg { display: block; margin-bottom: 1rem }
p { margin: .6rem 0 0; overflow-wrap: anywhere }
pre { margin: 1rem 0 0; padding: .8rem 1rem; border-radius: .6rem; background: var(--page);
  white-space: pre-wrap; overflow-wrap: anywhere }
form { margin-top: 1.25rem }
.small { font-size: .875rem }
`;

/** Style of the gallery and of the page of an instance. */
const INSTANCE_STYLE = `main.wide { max-width: 76rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 2.5rem) }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.1rem }
h3 { margin: 0; font-size: 1.1rem; overflow-wrap: anywhere }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1rem;
  margin: 0; padding: 0; list-style: none }
.tiles li { display: flex; flex-direction: column; padding: 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 1rem }
.tiles form, .tiles .actions { margin-top: auto; padding-top: 1.25rem }
.actions { display: flex; flex-wrap: wrap; align-items: center; gap: .75rem 1rem; margin-top: 1.5rem }
.actions form { margin: 0 }
a.button { display: inline-block; text-decoration: none }
.left { font-variant-numeric: tabular-nums }
.expiring { color: var(--bad); font-weight: 600 }
`;

interface PageOptions {
  /** A script in the page, with the nonce of its content policy. */
  readonly script?: { readonly text: string; readonly nonce: string };
  /** One card in the middle by default. */
  readonly layout?: 'card' | 'wide';
}

/** A page for visitors. It loads nothing, and follows the visitor's colour scheme. */
export function page(
  title: string,
  body: string,
  { script, layout = 'card' }: PageOptions = {},
): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)} · Ephemera</title>
${LOGO_ICON.markup}
<style>
${VISITOR_STYLE}${script === undefined ? '' : INSTANCE_STYLE}</style>
</head>
<body><main class="${layout}">
${inlineLogo(40).markup}
${body}
</main>${script === undefined ? '' : `\n<script type="module" nonce="${escapeHtml(script.nonce)}">\n${script.text}</script>`}
</body>
</html>
`;
}

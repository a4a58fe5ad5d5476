import { CARD_STYLE, escapeHtml, inlineLogo, LOGO_ICON, PAGE_STYLE } from '@ephemera/http';

/** The style of the pages for visitors: that of the whole product, and what only they have. */
export const VISITOR_STYLE = `${PAGE_STYLE}${CARD_STYLE}main.card { width: min(36rem, 100%) }
main.card > svg { display: block; margin-bottom: 1rem }
p { margin: .6rem 0 0; overflow-wrap: anywhere }
pre { margin: 1rem 0 0; padding: .8rem 1rem; border-radius: .6rem; background: var(--page);
  white-space: pre-wrap; overflow-wrap: anywhere }
form { margin-top: 1.25rem }
.small { font-size: .875rem }
`;

/** A page with one card for visitors. It loads nothing, and follows the visitor's colour scheme. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(title)} · Ephemera</title>
${LOGO_ICON.markup}
<style>
${VISITOR_STYLE}</style>
</head>
<body><main class="card">
${inlineLogo(40).markup}
${body}
</main></body>
</html>
`;
}

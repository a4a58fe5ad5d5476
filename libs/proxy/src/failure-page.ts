import type { Problem } from '@ephemera/contract';

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Makes text safe as HTML content and attribute value. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

/** A way on from a failure: a form. */
export interface RestartAction {
  readonly label: 'Start another' | 'Try again';
  readonly action: string;
}

/** The page that a person sees in place of a problem; what follows its first line is a log. */
export function failurePage(
  { status, title, detail }: Problem,
  restartAction?: RestartAction,
): string {
  const [sentence = '', ...log] = detail.split('\n');
  const parts = [
    `<p class="status">${status}</p>`,
    `<h1>${escapeHtml(title)}</h1>`,
    `<p>${escapeHtml(sentence)}</p>`,
    log.length > 0 && `<pre>${escapeHtml(log.join('\n'))}</pre>`,
    restartAction && formOf(restartAction),
  ];
  return page(`${status} ${title}`, parts.filter(Boolean).join('\n'));
}

/**
 * Posted on the own origin. To another origin it only leads: over plain HTTP a browser says of a
 * post from there no more than that it comes from an instance.
 */
function formOf({ label, action }: RestartAction): string {
  const [address = '', query = ''] = action.split('?');
  const isOwn = action.startsWith('/');
  const fields = isOwn
    ? ''
    : [...new URLSearchParams(query)]
        .map(([name, value]) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`)
        .join('');
  const way = isOwn
    ? `method="post" action="${escapeHtml(action)}"`
    : `action="${escapeHtml(address)}"`;
  return `<form ${way}>${fields}<button>${label}</button></form>`;
}

/** A small page without outside assets, dark or light as the visitor has it. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Ephemera</title>
<style>
:root { color-scheme: light dark; --ink: #1c2430; --paper: #f6f7f9; --card: #fff; --soft: #566172; --accent: #0b6bcb }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf2; --paper: #12161c; --card: #1b212a; --soft: #a3adbb; --accent: #6cb2ff }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  font: 1rem/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
main { width: min(34rem, 100%); padding: 2rem; border-radius: .9rem; background: var(--card);
  box-shadow: 0 1px 3px #0003 }
h1 { margin: 0 0 .6rem; font-size: 1.5rem; line-height: 1.25 }
p { margin: .4rem 0; overflow-wrap: anywhere }
pre { margin: 1rem 0 0; padding: .8rem 1rem; border-radius: .5rem; background: var(--paper);
  white-space: pre-wrap; overflow-wrap: anywhere;
  font: .8125rem/1.5 ui-monospace, monospace }
.status { color: var(--soft); font-variant-numeric: tabular-nums }
button { font: inherit; margin-top: 1rem; padding: .55rem 1.1rem; border: 0; border-radius: .5rem;
  color: var(--card); background: var(--accent); cursor: pointer }
</style>
</head>
<body><main>
${body}
</main></body>
</html>
`;
}

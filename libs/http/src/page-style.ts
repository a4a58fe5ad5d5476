import { Html } from './html.ts';

/**
 * The colours of every page of the product, as CSS variables: the dashboard, the pages for visitors
 * and the demo. Text in `text`, `soft`, `glow`, `good`, `wait`, `bad` and `idle` has a contrast of
 * at least 4.5 to `page` and to `card` (WCAG 2.2, 1.4.3).
 */
export const COLOURS = {
  page: { light: '#f6f3ee', dark: '#16181c' },
  card: { light: '#ffffff', dark: '#1f2228' },
  text: { light: '#22252b', dark: '#eceae6' },
  soft: { light: '#5d6068', dark: '#a9abb2' },
  line: { light: '#e2dcd2', dark: '#343841' },
  /** Links, primary buttons and focus rings. */
  glow: { light: '#a84a24', dark: '#f0936a' },
  'on-glow': { light: '#ffffff', dark: '#22150e' },
  good: { light: '#1d6b40', dark: '#7fd4a3' },
  wait: { light: '#7a5300', dark: '#ecc26b' },
  bad: { light: '#a3261d', dark: '#ff9d92' },
  idle: { light: '#4a5160', dark: '#b7bdc9' },
} as const;

function variables(scheme: 'light' | 'dark'): string {
  return Object.entries(COLOURS)
    .map(([name, colour]) => `--${name}: ${colour[scheme]}`)
    .join('; ');
}

/** What all pages begin with: colours, typeface and focus rings. No external assets. */
export const PAGE_STYLE = `:root { color-scheme: light dark; ${variables('light')};
  font: 16px/1.5 ui-sans-serif, system-ui, sans-serif }
@media (prefers-color-scheme: dark) { :root { ${variables('dark')} } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; background: var(--page); color: var(--text) }
a { color: var(--glow); text-underline-offset: .2em }
:focus-visible { outline: 2px solid var(--glow); outline-offset: 2px }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; letter-spacing: -.02em; text-wrap: balance }
code, pre { font: .9em/1.5 ui-monospace, monospace }
.soft { color: var(--soft) }
`;

/** Pages with a single card: messages, forms and the start of an instance. */
export const CARD_STYLE = `body:has(main.card) { display: grid; place-items: center; padding: 1.5rem }
main.card { padding: clamp(1.5rem, 6vw, 2.5rem); background: var(--card); border: 1px solid var(--line);
  border-radius: 1.25rem; box-shadow: 0 1.5rem 3rem -2rem rgb(0 0 0 / 35%) }
button, .button { font: inherit; font-weight: 600; padding: .55rem 1.1rem; border: 1px solid transparent;
  border-radius: .6rem; background: var(--glow); color: var(--on-glow); cursor: pointer }
button:hover { filter: brightness(1.08) }
button.quiet { border-color: var(--line); background: transparent; color: var(--text); font-weight: 500 }
button.quiet:hover { border-color: currentcolor; filter: none }
`;

/** The logo, for `ring.svg` and inside pages. Its colours suit both schemes. */
export const LOGO_SVG =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.25" fill="none" stroke="#cfc6b8" stroke-width="2.5"/><path d="M8 1.75a6.25 6.25 0 1 1-6.25 6.25" fill="none" stroke="#c8653c" stroke-width="2.5" stroke-linecap="round"/></svg>';

/** The logo as part of a page that must load nothing. `size` in pixels. */
export function inlineLogo(size: number): Html {
  const attributes = `width="${size}" height="${size}" aria-hidden="true"`;
  // HTML needs no xmlns.
  return new Html(LOGO_SVG.replace(/<svg xmlns="[^"]*"/, `<svg ${attributes}`));
}

/** The icon of a page that must load nothing. Its content policy needs `img-src data:`. */
export const LOGO_ICON = new Html(
  `<link rel="icon" href="data:image/svg+xml,${encodeURIComponent(LOGO_SVG)}">`,
);

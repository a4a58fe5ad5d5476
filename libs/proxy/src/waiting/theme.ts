import { readFileSync } from 'node:fs';
import { ConfigError } from '@ephemera/config';
import { escapeHtml, inlineLogo, LOGO_ICON } from '@ephemera/http';
import { VISITOR_STYLE } from '../page.ts';

/** The built-in themes, by their files in `themes/`. */
export const THEMES = ['calm', 'terminal'] as const;
export type ThemeName = (typeof THEMES)[number];

/** The values of a theme's placeholders. */
export interface PageValues {
  /** The title of the template. Its name is not for visitors. */
  readonly template: string;
  readonly id: string;
  /** `pending`, `creating`, `pulling`, `starting` or `probing`. */
  readonly step: string;
  /** The current step, as a sentence. */
  readonly text: string;
  /** 0 to 100. */
  readonly percent: number;
  /** The `nonce` attribute that `<style>` and `<script>` of the page must have. */
  readonly nonce: string;
  /** The absolute path of the progress events. */
  readonly events: string;
}

export type Theme = (values: PageValues) => string;

const PLACEHOLDER = /\{\{(\w+)\}\}/g;
const NAMES = ['template', 'id', 'step', 'text', 'percent', 'nonce', 'follow', 'style', 'logo'];
/** Refresh interval of a browser without JavaScript, seconds. */
const REFRESH = 2;

const script = readFileSync(new URL('./follow.js', import.meta.url), 'utf8');

/** Reads a theme: `file`, an HTML page with placeholders, or a built-in one. */
export function loadTheme(name: ThemeName, file: string | undefined): Theme {
  const path = file ?? new URL(`./themes/${name}.html`, import.meta.url);
  let html: string;
  try {
    html = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ConfigError('The theme', [
      { path: 'EPHEMERA_THEME_FILE', detail: `cannot be read (${code})` },
    ]);
  }
  return parseTheme(html);
}

/**
 * Creates a theme from an HTML page. `{{template}}`, `{{id}}`, `{{step}}`, `{{text}}`,
 * `{{percent}}` and `{{nonce}}` are filled in, escaped. `{{follow}}` must occur once, in the head;
 * it inserts the script that follows the start. The script updates elements with `data-show="text"`
 * and `data-show="percent"`. `{{style}}` inserts the icon and the style of the product's pages,
 * `{{logo}}` its logo.
 *
 * @throws ConfigError for an unknown placeholder, or if `{{follow}}` does not occur exactly once
 */
export function parseTheme(html: string): Theme {
  const used = [...html.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
  const faults = used
    .filter((name) => !NAMES.includes(name))
    .map(
      (name) =>
        `{{${name}}} is unknown; use one of ${NAMES.map((known) => `{{${known}}}`).join(', ')}`,
    );
  if (used.filter((name) => name === 'follow').length !== 1) {
    faults.push('{{follow}} must occur exactly once, in the head');
  }
  if (faults.length > 0) {
    const path = 'EPHEMERA_THEME_FILE';
    throw new ConfigError(
      'The theme',
      faults.map((detail) => ({ path, detail })),
    );
  }
  return (values) => {
    const known: Readonly<Record<string, string | number>> = { ...values };
    return html.replace(PLACEHOLDER, (_, name: string) => {
      if (name === 'follow') return follow(values);
      if (name === 'style') return style(values);
      if (name === 'logo') return inlineLogo(40).markup;
      return escapeHtml(String(known[name] ?? ''));
    });
  };
}

function style({ nonce }: PageValues): string {
  return `${LOGO_ICON.markup}
<style nonce="${escapeHtml(nonce)}">
${VISITOR_STYLE}</style>`;
}

function follow({ nonce, events }: PageValues): string {
  return `<noscript><meta http-equiv="refresh" content="${REFRESH}"></noscript>
<script type="module" nonce="${escapeHtml(nonce)}" data-events="${escapeHtml(events)}">
${script}</script>`;
}

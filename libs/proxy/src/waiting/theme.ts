import { readFileSync } from 'node:fs';
import { ConfigError } from '@ephemera/config';
import { escapeHtml } from '@ephemera/http';

/** The themes that come with the product, by their files in `themes/`. */
export const THEMES = ['calm', 'terminal'] as const;
export type ThemeName = (typeof THEMES)[number];

/** What a theme's placeholders stand for. */
export interface PageValues {
  /** The template's name. */
  readonly template: string;
  readonly id: string;
  /** `pending`, `creating`, `pulling`, `starting` or `probing`. */
  readonly step: string;
  /** What the start is at, a sentence. */
  readonly text: string;
  /** 0 to 100. */
  readonly percent: number;
  /** What `<style>` and `<script>` of the page must carry as `nonce`. */
  readonly nonce: string;
  /** Where the steps are told, from the root of the page's origin. */
  readonly events: string;
}

export type Theme = (values: PageValues) => string;

const PLACEHOLDER = /\{\{(\w+)\}\}/g;
const NAMES = ['template', 'id', 'step', 'text', 'percent', 'nonce', 'follow'];
/** How often a browser without JavaScript asks again, seconds. */
const REFRESH = 2;

const script = readFileSync(new URL('./follow.js', import.meta.url), 'utf8');

/** Reads a theme: `file`, an HTML page with placeholders, or one that comes with the product. */
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
 * Makes a theme of an HTML page. `{{template}}`, `{{id}}`, `{{step}}`, `{{text}}`, `{{percent}}`
 * and `{{nonce}}` are filled in, escaped; `{{follow}}` stands once in the head, for what makes the
 * page go on by itself. Elements with `data-show="text"` and `data-show="percent"` are kept up to
 * date.
 *
 * @throws ConfigError for a placeholder that there is not, or where `{{follow}}` is missing
 */
export function parseTheme(html: string): Theme {
  const used = [...html.matchAll(PLACEHOLDER)].map(([, name = '']) => name);
  const faults = used
    .filter((name) => !NAMES.includes(name))
    .map((name) => `{{${name}}} is none of ${NAMES.map((known) => `{{${known}}}`).join(', ')}`);
  if (used.filter((name) => name === 'follow').length !== 1) {
    faults.push('{{follow}} must stand in its head, once');
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
    return html.replace(PLACEHOLDER, (_, name: string) =>
      name === 'follow' ? follow(values) : escapeHtml(String(known[name] ?? '')),
    );
  };
}

function follow({ nonce, events }: PageValues): string {
  return `<noscript><meta http-equiv="refresh" content="${REFRESH}"></noscript>
<script type="module" nonce="${escapeHtml(nonce)}" data-events="${escapeHtml(events)}">
${script}</script>`;
}

/** Text that is markup already. */
export class Html {
  readonly markup: string;
  constructor(markup: string) {
    this.markup = markup;
  }
}

export type Fragment = Html | string | number | false | undefined | readonly Fragment[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Markup in which every value is escaped, as content and in quoted attributes, unless it is
 * markup itself; lists are joined, and what is absent leaves nothing.
 */
export function html(texts: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(texts.reduce((markup, text, i) => markup + render(values[i - 1]) + text));
}

function render(value: Fragment): string {
  if (value instanceof Html) return value.markup;
  if (value === undefined || value === false) return '';
  if (typeof value === 'object') return value.map(render).join('');
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

/** Text that is already markup. */
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
 * Tagged template for HTML. It escapes every value, as content and in quoted attributes, unless the
 * value is `Html`. It joins lists; `undefined` and `false` render nothing.
 */
export function html(texts: TemplateStringsArray, ...values: readonly Fragment[]): Html {
  return new Html(texts.reduce((markup, text, i) => markup + render(values[i - 1]) + text));
}

function render(value: Fragment): string {
  if (value instanceof Html) return value.markup;
  if (value === undefined || value === false) return '';
  if (typeof value === 'object') return value.map(render).join('');
  return escapeHtml(String(value));
}

/** Escapes text for HTML content and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

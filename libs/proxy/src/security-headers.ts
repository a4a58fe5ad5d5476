/** On all of our own answers, whatever they are. */
const ALWAYS = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** On answers that no browser is to show as a page. */
export const NEVER_A_PAGE = {
  ...ALWAYS,
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
} as const;

/** What a page of ours may do. */
export interface PagePolicy {
  /** Of its style and its script; without, style alone may stand in it, and no script. */
  readonly nonce?: string;
  /** Whether it has a button: then no page of another origin may put it in a frame. */
  readonly hasButton: boolean;
}

/**
 * The headers of a page of ours. One that stands in the place of an instance's page may be in a
 * frame as that may, unless there is something on it to press.
 *
 * No `form-action`: it would hold for where a form leads, the instance's own origin, too. And no
 * `no-referrer` where there is a form: a browser would send `Origin: null` with it.
 */
export function pageHeaders({ nonce, hasButton }: PagePolicy) {
  const style = nonce === undefined ? "'unsafe-inline'" : `'nonce-${nonce}'`;
  const follows =
    nonce === undefined
      ? ''
      : ` script-src 'nonce-${nonce}'; connect-src 'self'; img-src data:; font-src data:;`;
  const ancestors = hasButton ? "'self'" : '*';
  return {
    ...ALWAYS,
    // The first answer of an origin decides for all that follow: as on an instance's own.
    'origin-agent-cluster': '?1',
    ...(hasButton && { 'referrer-policy': 'same-origin' }),
    'content-security-policy': `default-src 'none'; style-src ${style};${follows} base-uri 'none'; ${hasButton ? '' : "form-action 'none'; "}frame-ancestors ${ancestors}`,
  };
}

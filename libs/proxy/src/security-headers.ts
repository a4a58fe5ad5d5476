import { OWN_RESPONSE, SAME_ORIGIN_ONLY } from '@ephemera/http';

const ALWAYS = { ...OWN_RESPONSE, 'referrer-policy': 'no-referrer' } as const;

/** Headers of responses that a browser must not render as a page. */
export const NEVER_A_PAGE = {
  ...ALWAYS,
  ...SAME_ORIGIN_ONLY,
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
} as const;

/** What a page of the product may do. */
export interface PagePolicy {
  /** For its style and its script. Without a nonce, inline style is allowed and scripts are not. */
  readonly nonce?: string;
  /** Whether it has a button. If so, pages of other origins must not frame it (clickjacking). */
  readonly hasButton: boolean;
  /** Origins of sites that may frame the instance, and so a page in its place. */
  readonly embed?: readonly string[] | undefined;
}

/** The policy of an instance with `embed`: only its own origin and these sites may frame it. */
export function frameAncestors(embed: readonly string[]): string {
  return `frame-ancestors 'self' ${embed.join(' ')}`;
}

/**
 * Returns the headers of a page of the product. A page shown in place of an instance's page may be
 * framed like that page, unless it has a button.
 *
 * No `form-action`, because it would also apply to the redirect to the instance's own origin. No
 * `no-referrer` on a page with a form, because browsers would then send `Origin: null`.
 */
export function pageHeaders({ nonce, hasButton, embed }: PagePolicy) {
  const style = nonce === undefined ? "'unsafe-inline'" : `'nonce-${nonce}'`;
  const follows =
    nonce === undefined ? '' : ` script-src 'nonce-${nonce}'; connect-src 'self'; font-src data:;`;
  const ancestors = embed ? frameAncestors(embed) : `frame-ancestors ${hasButton ? "'self'" : '*'}`;
  return {
    ...ALWAYS,
    // The first response of an origin decides for the whole origin, so it must match the instance's
    // own.
    'origin-agent-cluster': '?1',
    ...(hasButton && { 'referrer-policy': 'same-origin' }),
    'content-security-policy': `default-src 'none'; style-src ${style};${follows} img-src data:; base-uri 'none'; ${hasButton ? '' : "form-action 'none'; "}${ancestors}`,
  };
}

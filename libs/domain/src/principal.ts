/**
 * What a holder of a token may: look, start instances (and see, renew and end those of its own),
 * or everything.
 */
export const SCOPES = ['read', 'create', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who asks, as a token has told. */
export interface Principal {
  /** The token's name, as the configuration has it: what logs and quotas call it. */
  readonly name: string;
  readonly scopes: readonly Scope[];
}

export function allows({ scopes }: Principal, wanted: Scope): boolean {
  return scopes.includes(wanted) || scopes.includes('admin');
}

/** The account that a token's instances are on. */
export function principalKey({ name }: Pick<Principal, 'name'>): string {
  return `token:${name}`;
}

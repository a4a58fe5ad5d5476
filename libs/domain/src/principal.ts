/**
 * The rights of a token. `read` allows read access. `create` allows to start instances, and to
 * read, renew and end its own. `exec` allows to run commands in its own, where the template says so.
 * `admin` allows everything.
 */
export const SCOPES = ['read', 'create', 'exec', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** The authenticated owner of a token. */
export interface Principal {
  /** The name of the token in the configuration. Logs and quotas use it. */
  readonly name: string;
  readonly scopes: readonly Scope[];
}

export function allows({ scopes }: Principal, required: Scope): boolean {
  return scopes.includes(required) || scopes.includes('admin');
}

/** The quota key of the instances that a token starts. */
export function principalKey({ name }: Pick<Principal, 'name'>): string {
  return `token:${name}`;
}

/** Whether a token of scope `create` started an instance, so that it may read, renew and end it. */
export function isOwner(
  principal: Principal,
  { owner }: { readonly owner?: string | undefined },
): boolean {
  return allows(principal, 'create') && owner === principalKey(principal);
}

/** Returns the owner of a start: the id of a user. Undefined or null: a visitor whom nobody knows. */
export type OwnerOf<Request> = (request: Request) => string | null | undefined;

/** Longest id of an owner, in UTF-16 code units. It is a part of keys in Redis. */
const MAX_OWNER = 256;

/** Returns what is wrong with the id of an owner; undefined if nothing is. */
export function ownerIssue(owner: unknown): string | undefined {
  const isId = typeof owner === 'string' && owner !== '' && owner.length <= MAX_OWNER;
  return isId ? undefined : `must be a text of 1 to ${MAX_OWNER} characters, or undefined`;
}

/**
 * Calls the `owner` of an application. Whatever is no id must not count as a user who is logged in:
 * an empty text, false, a number, the promise of an async function.
 * @throws Error, which is a fault of the application
 */
export function readOwner(ownerOf: () => unknown): string | undefined {
  let owner: unknown;
  try {
    owner = ownerOf();
  } catch (error) {
    throw new Error('owner of the application failed', { cause: error });
  }
  if (owner === undefined || owner === null) return undefined;
  const issue = ownerIssue(owner);
  if (issue !== undefined) throw new TypeError(`owner of the application ${issue}`);
  return owner as string;
}

/** Longest name, characters. With the name of a port, `PORT--NAME` must fit into a DNS label of 63. */
const MAX_NAME_LENGTH = 40;
/** Words of letters and digits, joined by single hyphens: `--` separates a port from a name. */
const WORDS = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
/** In host form, `NAME.DOMAIN` would be the address `PORT-ID` or the id itself. */
const ENDS_IN_ID = /(?:^|-)[a-z][a-z0-9]{25}$/;

/**
 * Whether a text is a stable name of an instance, such as `pr-42`: a DNS label of lowercase letters,
 * digits and single hyphens, of at most 40 characters, that begins with a letter. It is neither an id
 * nor ends in a hyphen and one.
 */
export function isName(text: string): boolean {
  return text.length <= MAX_NAME_LENGTH && WORDS.test(text) && !ENDS_IN_ID.test(text);
}

/** What stands for a name where an id may stand: no id begins with `@`. */
export function nameReference(name: string): string {
  return `@${name}`;
}

/** A stable name, which leads to one instance after another. Times are epoch milliseconds. */
export interface Name {
  readonly name: string;
  /** The instance that it leads to. */
  readonly id: string;
  /** The instance that it leads to as soon as that one is ready. */
  readonly next?: string | undefined;
  /** The generation of the instance that was started last for it. Each start has a higher one. */
  readonly generation: number;
  /** The token that started its first instance: `token:ci`. */
  readonly owner: string;
  readonly createdAt: number;
  /** When an instance was last started for it. */
  readonly updatedAt: number;
  /** When the name is forgotten. */
  readonly expiresAt: number;
}

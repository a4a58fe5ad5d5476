const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const ALPHABET = `${LETTERS}0123456789`;
/** Characters of an id after the letter of its cell: 25 × log2(36) = 129.2 random bits. */
const RANDOM_LENGTH = 25;

/** The letter of the one cell that exists: a namespace, its Redis and its hosts. */
export const DEFAULT_CELL = 'a';

/** An id: a DNS label without a hyphen, so that `PORT-ID` can be parsed. */
export const ID_PATTERN = /^[a-z][a-z0-9]{25}$/;

/**
 * Makes a public, unguessable id: the letter of its cell and 25 random letters or digits, 129.2
 * random bits.
 * @param random returns n bytes of a cryptographic random generator
 * @param cell one lowercase letter
 */
export function newId(random: (size: number) => Uint8Array, cell: string = DEFAULT_CELL): string {
  return cell + uniform(random, ALPHABET, RANDOM_LENGTH);
}

/** The cell of an id: the letter that it begins with. */
export function cellOf(id: string): string {
  return id.charAt(0);
}

/**
 * Makes the secret of an instance whose template uses `{token}`: a letter and 25 letters or digits.
 * It is shown only to the client that creates the instance.
 */
export function makeToken(random: (size: number) => Uint8Array): string {
  return newId(random, uniform(random, LETTERS, 1));
}

export function isId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/**
 * Draws characters with equal probability. A byte that would favour some characters is discarded.
 */
function uniform(random: (size: number) => Uint8Array, alphabet: string, length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of random(length * 2)) {
      if (byte >= 256 - (256 % alphabet.length)) continue;
      text += alphabet.charAt(byte % alphabet.length);
      if (text.length === length) break;
    }
  }
  return text;
}

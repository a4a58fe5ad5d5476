const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const ALPHABET = `${LETTERS}0123456789`;
const LENGTH = 26;

/** What an id looks like: a DNS label that stays parseable after `PORT-`, so no hyphen. */
export const ID_PATTERN = /^[a-z][a-z0-9]{25}$/;

/**
 * Makes a public, unguessable id: one letter and 25 letters or digits, 133.9 random bits.
 *
 * `random(n)` gives n bytes of the system's generator. A byte that would favour the first
 * letters of the alphabet is thrown away, so every id is equally likely.
 */
export function makeId(random: (size: number) => Uint8Array): string {
  let id = '';
  while (id.length < LENGTH) {
    for (const byte of random(LENGTH * 2)) {
      const alphabet = id.length === 0 ? LETTERS : ALPHABET;
      if (byte >= 256 - (256 % alphabet.length)) continue;
      id += alphabet.charAt(byte % alphabet.length);
      if (id.length === LENGTH) break;
    }
  }
  return id;
}

/**
 * The secret of an instance whose template asks for one: as unguessable as its id, and shown only
 * to whoever creates it.
 */
export function makeToken(random: (size: number) => Uint8Array): string {
  return makeId(random);
}

export function isId(text: string): boolean {
  return ID_PATTERN.test(text);
}

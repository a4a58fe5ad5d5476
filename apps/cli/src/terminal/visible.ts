/**
 * What a terminal acts on, or displays in another order than it is written: control characters (C0
 * but line feed and tab, DEL, C1), line and paragraph separators, and controls of text direction.
 * A carriage return passes only before a line feed: alone it would overwrite its line.
 */
const ACTIVE =
  /\r(?!\n)|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Replaces what a terminal acts on by its code, such as `\u001b`. The rest is unchanged. */
export function visible(text: string): string {
  return text.replace(
    ACTIVE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

interface TextStream {
  write(text: string): unknown;
}

/**
 * Whether text from outside (logs, names, error details) has to be made visible: on a terminal. A
 * file or another program receives it unchanged.
 */
export function isTerminal(stream: TextStream): boolean {
  return 'isTTY' in stream && stream.isTTY === true;
}

/**
 * Writes text from outside that arrives in chunks. `end` writes what was held back: a carriage
 * return at the end of a chunk, until the next character is known.
 */
export function createTextWriter(
  stream: TextStream,
  isRaw: boolean,
): { readonly write: (chunk: string) => void; readonly end: () => void } {
  if (isRaw || !isTerminal(stream)) {
    return { write: (chunk) => void stream.write(chunk), end: () => undefined };
  }
  let held = '';
  return {
    write(chunk) {
      const text = held + chunk;
      held = text.endsWith('\r') ? '\r' : '';
      stream.write(visible(text.slice(0, text.length - held.length)));
    },
    end() {
      if (held !== '') stream.write(visible(held));
      held = '';
    },
  };
}

/** Control characters but the line feed and the tab, and the marks that turn text around. */
const UNSEEN = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * What a container wrote, as text that may be shown anywhere: whoever reads it on a terminal must
 * not have it obey an escape sequence, nor read it in another order than it stands in.
 */
export function plainText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(UNSEEN, (character) =>
      character === '\n' || character === '\t' ? character : '\ufffd',
    );
}

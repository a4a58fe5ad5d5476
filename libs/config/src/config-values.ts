import { parseDuration, parseSize } from '@ephemera/domain';
import { z } from 'zod';

/** A schema for text, from a parser that returns undefined for invalid text. */
function read<T>(parse: (text: string) => T | undefined, what: string) {
  return z.string({ error: `must be ${what}` }).transform((text, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `"${text}" is not ${what}` });
    return z.NEVER;
  });
}

/** A duration such as `90s`, `30m`, `2h`, in milliseconds. */
export const durationText = read(parseDuration, 'a duration such as 90s, 30m, 2h');

/** A duration of at least one second, in milliseconds. */
export const positiveDuration = durationText.refine((ms) => ms >= 1000, 'must be at least 1s');

/** A size such as `256m`, `1g`, in bytes. */
export const sizeText = read(parseSize, 'a size such as 256m, 1g');

import { parseDuration, parseSize } from '@ephemera/domain';
import { z } from 'zod';

/** Reads text with a parser that gives undefined for what it does not understand. */
function read<T>(parse: (text: string) => T | undefined, what: string) {
  return z.string({ error: `must be ${what}` }).transform((text, context) => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `"${text}" is not ${what}` });
    return z.NEVER;
  });
}

/** `90s`, `30m`, `2h`; milliseconds. */
export const durationText = read(parseDuration, 'a duration such as 90s, 30m, 2h');

/** A duration of one second or more; milliseconds. */
export const positiveDuration = durationText.refine((ms) => ms >= 1000, 'must be at least 1s');

/** `256m`, `1g`; bytes. */
export const sizeText = read(parseSize, 'a size such as 256m, 1g');

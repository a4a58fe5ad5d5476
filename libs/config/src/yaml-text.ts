import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { ConfigError, issuesOf } from './environment.ts';

/**
 * Parses YAML text with a schema. Empty text counts as an empty mapping.
 * @param what the name of the text in errors
 * @throws ConfigError with every error and its dotted path
 */
export function readYaml<T extends z.ZodType>(text: string, schema: T, what: string): z.output<T> {
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ message }) => ({ path: '', detail: message }));
    throw new ConfigError(what, faults);
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // The parser reports an unresolved alias only here, not as a syntax error.
    const reason = error instanceof Error ? error.message : String(error);
    const detail = `${reason}; text that begins with * or & needs quotes`;
    throw new ConfigError(what, [{ path: '', detail }]);
  }
  const result = schema.safeParse(value ?? {});
  if (!result.success) throw new ConfigError(what, issuesOf(result.error));
  return result.data;
}

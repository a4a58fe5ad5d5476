import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { ConfigError, issuesOf } from './environment.ts';

/**
 * Reads YAML text as a schema has it; nothing at all counts as an empty mapping.
 * @param what how the text is called in errors
 * @throws ConfigError with every fault and its dotted path
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
    // An alias that nothing stands behind is no error of the syntax.
    const said = error instanceof Error ? error.message : String(error);
    const detail = `${said}; text that begins with * or & wants quotes`;
    throw new ConfigError(what, [{ path: '', detail }]);
  }
  const result = schema.safeParse(value ?? {});
  if (!result.success) throw new ConfigError(what, issuesOf(result.error));
  return result.data;
}

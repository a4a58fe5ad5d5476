import { LineCounter, isAlias, isMap, isNode, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, Node } from 'yaml';
import type { z } from 'zod';
import { ConfigError, issuesOf } from './environment.ts';
import type { ConfigIssue } from './environment.ts';

/**
 * Parses YAML text with a schema. Empty text counts as an empty mapping. Merge keys (`<<`) are
 * resolved. Keys of the top level that begin with `x-` are ignored, so that they can hold anchors.
 * @param what the name of the text in errors
 * @throws ConfigError with every error, its dotted path and its line. It quotes no text of the file
 *   except names and values of fields, because the file may contain secrets.
 */
export function readYaml<T extends z.ZodType>(text: string, schema: T, what: string): z.output<T> {
  const undecoded = text.search(UNDECODED);
  if (undecoded >= 0) {
    const line = text.slice(0, undecoded).split('\n').length;
    const detail = 'is not UTF-8 text; save the file as UTF-8';
    throw new ConfigError(what, [{ path: '', line, detail }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, {
    merge: true,
    lineCounter: lines,
    // They quote the line.
    prettyErrors: false,
    // Warnings go to standard error.
    logLevel: 'error',
  });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ code, message, pos }) => ({
      path: '',
      line: lines.linePos(pos[0]).line,
      detail: withoutQuote({ code, message }),
    }));
    throw new ConfigError(what, faults);
  }
  // The parser does not report these as syntax errors.
  const refused: ConfigIssue[] = [];
  const refuse = (node: Node, detail: string) => {
    const { line } = lines.linePos(node.range?.[0] ?? 0);
    refused.push({ path: '', line, detail });
  };
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document)) return;
      refuse(alias, 'Unresolved alias; text that begins with * or & needs quotes');
    },
    Pair(_, { key }) {
      if (!isScalar(key)) {
        if (isNode(key) && !isAlias(key)) refuse(key, 'A key must be text');
      } else if (key.value === '__proto__') {
        // A schema ignores it.
        refuse(key, 'A key cannot be __proto__');
      }
    },
  });
  if (refused.length > 0) throw new ConfigError(what, refused);
  let value: unknown;
  try {
    value = withoutExtensions(document.toJS());
  } catch (error) {
    // For example, the source of a merge key is no mapping.
    const detail = (error as Error).message.split(': ', 1)[0] ?? '';
    throw new ConfigError(what, [{ path: '', detail }]);
  }
  const result = schema.safeParse(value ?? {}, { error: typeIssue });
  if (result.success) return result.data;
  const faults = issuesOf(result.error).map((issue) => {
    const offset = offsetOf(document, issue.path);
    return { ...issue, line: offset === undefined ? undefined : lines.linePos(offset).line };
  });
  throw new ConfigError(what, faults);
}

/** What a decoder puts in place of bytes that are no UTF-8, and the NUL bytes of UTF-16. */
const UNDECODED = /[\uFFFD\0]/;

/** The message for a value of another type, in the words of YAML. Undefined: the usual message. */
function typeIssue({ code, expected, input }: z.core.$ZodRawIssue): string | undefined {
  if (code !== 'invalid_type') return undefined;
  if (input === undefined) return 'is missing';
  switch (expected) {
    case 'string':
      return ['number', 'boolean'].includes(typeof input)
        ? 'must be text; write it in quotes'
        : 'must be text';
    case 'array':
      return 'must be a list, such as [a, b]';
    case 'object':
    case 'record':
      return 'must be a mapping of names to values';
    case 'boolean':
      return 'must be true or false, without quotes';
    case 'number':
      return 'must be a number, without quotes';
    case 'int':
      return 'must be a whole number, without quotes';
    default:
      return undefined;
  }
}

/** Errors whose messages quote the file or name functions of the parser, by code. */
const QUOTING: Readonly<Record<string, string>> = {
  BAD_DIRECTIVE: 'Unknown directive; text that begins with % needs quotes',
  MULTIPLE_DOCS: 'The file has several documents; remove the line --- between them',
  BAD_DQ_ESCAPE: 'Invalid escape sequence in a text with double quotes',
  TAG_RESOLVE_FAILED: 'Unresolved tag; text that begins with ! needs quotes',
};

/** The message of an error of the parser, without what it quotes of the file. */
function withoutQuote({ code, message }: { code: string; message: string }): string {
  // These end with the quote.
  if (code === 'UNEXPECTED_TOKEN') return message.split(': ', 1)[0] ?? '';
  return QUOTING[code] ?? message;
}

function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('x-')));
}

/**
 * The position of the last part of a dotted path that the text contains. Keys may contain dots, so the
 * longest key that the rest of the path begins with counts.
 */
function offsetOf(document: Document.Parsed, path: string): number | undefined {
  let node: Node | null | undefined = document.contents;
  let offset: number | undefined;
  for (let rest = path; rest !== '';) {
    if (isAlias(node)) node = node.resolve(document);
    let key: string;
    if (isMap(node)) {
      const pairs = node.items
        .map((pair) => ({ pair, text: isScalar(pair.key) ? String(pair.key.value) : '' }))
        .filter(({ text }) => text !== '' && `${rest}.`.startsWith(`${text}.`))
        .sort((a, b) => b.text.length - a.text.length);
      const [found] = pairs;
      if (!found) return offset;
      key = found.text;
      offset = (found.pair.key as Node).range?.[0] ?? offset;
      node = found.pair.value as Node | null;
    } else if (isSeq(node)) {
      key = rest.split('.', 1)[0] ?? '';
      node = node.items[Number(key)] as Node | undefined;
      offset = node?.range?.[0] ?? offset;
    } else return offset;
    rest = rest.slice(key.length + 1);
  }
  return offset;
}

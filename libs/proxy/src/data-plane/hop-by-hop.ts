import { fieldKinds } from './field-kinds.ts';

const CONNECTIONS = new Set(['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding']);

const kindOf = fieldKinds<'pass' | 'drop'>((name) =>
  CONNECTIONS.has(name) || name === 'upgrade' || name.startsWith('proxy-') ? 'drop' : 'pass',
);

/** The end-to-end fields of an answer that node:http has parsed. @param rawHeaders flat */
export function stripHopByHop(rawHeaders: readonly string[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    if (kindOf(name) === 'pass') fields.push(name, rawHeaders[i + 1] ?? '');
  }
  return fields;
}

/**
 * Name, value, … as an object. Fields that come more than once, in whatever case, become lists
 * under the name that came first: of two spellings Node would send the last alone.
 */
export function toHeaders(fields: readonly string[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.create(null) as typeof headers;
  const spellings = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) {
    const input = fields[i] ?? '';
    const lower = input.toLowerCase();
    const name = spellings.get(lower) ?? input;
    spellings.set(lower, name);
    const value = fields[i + 1] ?? '';
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

/** Header lines as name, value, … */
export function parseFields(lines: string): string[] {
  return lines
    .split('\r\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
}

import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './environment.ts';
import { readYaml } from './yaml-text.ts';

const item = z.record(z.string(), z.number());
const schema = z.strictObject({
  registries: z.record(z.string(), item).optional(),
  list: z.array(item).optional(),
  a: item.optional(),
  'a.b': z.number().optional(),
});

/** The lines of the message. */
function errorsIn(text: string): string[] {
  try {
    readYaml(text, schema, 'file');
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n').map((line) => line.trim());
    throw error;
  }
  return [];
}

// The name of a registry, a path or a kernel parameter is a key with dots.
test.each([
  ['of a mapping', 'registries:\n  ghcr.io:\n    user: x\n', 'registries.ghcr.io.user', 3],
  [
    'with a port',
    'registries:\n  r.example.org:5000:\n    user: x\n',
    'registries.r.example.org:5000.user',
    3,
  ],
  [
    'beside its first part',
    'registries:\n  ghcr: {}\n  ghcr.io:\n    user: x\n',
    'registries.ghcr.io.user',
    4,
  ],
  [
    'as the last key',
    'registries:\n  ghcr.io:\n    net.ipv4.x: y\n',
    'registries.ghcr.io.net.ipv4.x',
    3,
  ],
  ['below a list', 'list:\n  - fine: 1\n  - fine: 1\n    /a.b/c: y\n', 'list.1./a.b/c', 4],
  ['of the top level', 'a:\n  c: 1\na.b: x\n', 'a.b', 3],
  ['through an alias', 'a: &n\n  fine: 1\n  x.y: z\nlist: [*n]\n', 'a.x.y', 3],
])('an error at a key with dots %s has its line', (_where, text, path, line) => {
  const found = errorsIn(text).filter((error) => error.includes(`${path}: `));
  expect(found).toEqual([expect.stringMatching(new RegExp(`\\(line ${line}\\)$`))]);
});

describe('a file of another kind', () => {
  const text = 'a: {fine: 1}\n';
  test.each([
    ['with a byte order mark', Buffer.from(`\uFEFF${text}`)],
    ['with the line ends of Windows', Buffer.from('a:\r\n  fine: 1\r\n')],
  ])('%s is read', (_kind, bytes) => {
    expect(readYaml(bytes.toString('utf8'), schema, 'file')).toEqual({ a: { fine: 1 } });
  });

  const NO_UTF8 = 'is not UTF-8 text; save the file as UTF-8';
  test.each([
    ['in UTF-16', Buffer.from(`\uFEFF${text}`, 'utf16le'), `(whole): ${NO_UTF8} (line 1)`],
    ['in UTF-16 without a mark', Buffer.from(text, 'utf16le'), `(whole): ${NO_UTF8} (line 1)`],
    ['in Latin-1', Buffer.from(`# \n# caf\xe9\n${text}`, 'latin1'), `(whole): ${NO_UTF8} (line 2)`],
    [
      'with several documents',
      Buffer.from(`${text}---\n${text}`),
      '(whole): The file has several documents; remove the line --- between them (line 2)',
    ],
    ['with a list as a key', Buffer.from('? [x]\n: y\n'), '(whole): A key must be text (line 1)'],
    [
      'with a key that schemas ignore',
      Buffer.from(`${text}__proto__: {fine: 1}\n`),
      '(whole): A key cannot be __proto__ (line 2)',
    ],
  ])('%s is refused, with the cause', (_kind, bytes, error) => {
    expect(errorsIn(bytes.toString('utf8'))).toContain(error);
  });
});

test('errors name types as YAML has them', () => {
  const types = z.strictObject({
    text: z.string(),
    list: z.array(z.string()),
    map: z.record(z.string(), z.string()),
    missing: z.string(),
  });
  const found = () => readYaml('text: 5\nlist: x\nmap: [a]\n', types, 'file');
  expect(found).toThrow(
    [
      'file cannot be used:',
      '  text: must be text; write it in quotes (line 1)',
      '  list: must be a list, such as [a, b] (line 2)',
      '  map: must be a mapping of names to values (line 3)',
      '  missing: is missing',
    ].join('\n'),
  );
});

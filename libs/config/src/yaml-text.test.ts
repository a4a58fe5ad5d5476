import { expect, test } from 'vitest';
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

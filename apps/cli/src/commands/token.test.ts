import { parseTemplates } from '@ephemera/config';
import { createTokens } from '@ephemera/http';
import { expect, test } from 'vitest';

import { token } from './token.ts';

test('what it prints is a token, and the line that lets it in', () => {
  const said = token(['ci', '--scope', 'create', '--scope', 'read']);
  const made = said.split('\n')[0] ?? '';
  expect(made).toMatch(/^eph_[\w-]{43}$/);
  const line = said.split('\n').at(-1) ?? '';
  const config = `templates: { demo: { image: a, port: 80 } }\ntokens:\n${line}`;
  const tokens = createTokens('an-admin-of-some-kind', () => parseTemplates(config).tokens);
  expect(tokens.identify(made)).toMatchObject({ name: 'ci', scopes: ['create', 'read'] });
  expect(said.match(new RegExp(made, 'g'))).toHaveLength(1);
});

test('two are never alike', () => {
  const made = Array.from({ length: 100 }, () => token(['a', '--scope=read']).split('\n')[0]);
  expect(new Set(made).size).toBe(100);
});

test.each([
  [[]],
  [['CI', '--scope', 'read']],
  [['a', 'b', '--scope', 'read']],
  [['a']],
  [['a', '--scope', 'root']],
])('%j is refused', (args) => expect(() => token(args)).toThrow(/token NAME|--scope/));

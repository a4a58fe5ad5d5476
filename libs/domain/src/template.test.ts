import { expect, test } from 'vitest';
import { fillPlaceholders, usesTokenPlaceholder } from './template.ts';

const VALUES = { id: 'abc', port: '80', basePath: '/demo/abc', url: 'http://a/', token: 't' };

test.each([
  ['{id}:{port}{basePath}', 'abc:80/demo/abc'],
  ['{url}?{token}', 'http://a/?t'],
  ['{{id}}', '{id}'],
  ['{{{id}}}', '{{id}}'],
  ['${id}', '${id}'],
  ['${{id}}', '${id}'],
  ['${PORT:-{port}}', '${PORT:-80}'],
  ['${HOME:-/x}/{id}', '${HOME:-/x}/abc'],
  ['{"id": {id}}', '{"id": abc}'],
  [
    '{ id } {ID} {} {nothing} {{nothing}} {{ .State }}',
    '{ id } {ID} {} {nothing} {{nothing}} {{ .State }}',
  ],
  ['awk {print}', 'awk {print}'],
])('%s becomes %s', (text, expected) => {
  expect(fillPlaceholders(text, VALUES)).toBe(expected);
});

test('a value that looks like a placeholder is not filled again', () => {
  expect(fillPlaceholders('{url}', { ...VALUES, url: '{token}' })).toBe('{token}');
});

test.each([
  [{ command: ['a', '-t={token}'], env: {} }, true],
  [{ command: undefined, env: { A: 'x{token}' } }, true],
  [{ command: undefined, entrypoint: ['{token}'], env: {} }, true],
  [{ command: ['{{token}}'], env: { A: '${token}', B: '{tokens}' } }, false],
])('%j uses the token: %s', (template, expected) => {
  expect(usesTokenPlaceholder(template)).toBe(expected);
});

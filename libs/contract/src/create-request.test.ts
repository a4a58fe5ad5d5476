import { expect, test } from 'vitest';
import { createRequestSchema } from './create-request.ts';

test('every field is optional', () => {
  expect(createRequestSchema.parse({})).toEqual({});
});

test('accepts every field', () => {
  const body = {
    template: 'demo',
    timeout: 60,
    env: { GREETING: 'hello', _x1: '' },
    metadata: { user: 'ä', 'example.org/team': 'x' },
  };
  expect(createRequestSchema.parse(body)).toEqual(body);
});

const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`K${i}`, '']));

test.each([
  ['an image, which only a template may set', { image: 'evil/miner' }],
  ['an unknown field', { Template: 'demo' }],
  ['a timeout as text', { timeout: '60' }],
  ['a template that is not a string', { template: 1 }],
  ['a reserved variable', { env: { EPHEMERA_ID: 'x' } }],
  ['an invalid variable name', { env: { 'A=B': 'x' } }],
  ['a value that is not a string', { env: { A: 1 } }],
  ['a value that is too long', { env: { A: 'x'.repeat(32_769) } }],
  ['a value with a NUL character', { env: { A: 'a\0b' } }],
  ['too many variables', { env: many(65) }],
  ['too much metadata', { metadata: many(33) }],
  ['an invalid metadata key', { metadata: { ' ': 'x' } }],
  ...['a\nb', 'a\rb', 'a\0b'].map(
    (text) => ['a control character', { metadata: { a: text } }] as const,
  ),
  ['an array', []],
  ['null', null],
])('refuses %s', (_, body) => {
  expect(createRequestSchema.safeParse(body).success).toBe(false);
});

test('a body with __proto__ does not change a prototype', () => {
  const parsed = createRequestSchema.safeParse(JSON.parse('{"__proto__": {"template": "demo"}}'));
  expect(parsed.success).toBe(false);
  expect(({} as { template?: string }).template).toBeUndefined();
});

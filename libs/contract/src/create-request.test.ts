import { expect, test } from 'vitest';
import { createRequestSchema } from './create-request.ts';

test('every field is optional', () => {
  expect(createRequestSchema.parse({})).toEqual({});
});

test('accepts every field', () => {
  const body = {
    template: 'demo',
    image: 'ghcr.io/acme/app:pr-42',
    timeout: 60,
    env: { GREETING: 'hello', _x1: '' },
    metadata: { user: 'ä', 'example.org/team': 'x' },
  };
  expect(createRequestSchema.parse(body)).toEqual(body);
});

const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`K${i}`, '']));

test.each([
  ['an image by its id', { image: `sha256:${'a'.repeat(64)}` }],
  ['an image that is no name', { image: 'acme/app:1/json?x=y' }],
  ['an unknown field', { Template: 'demo' }],
  ['a timeout as text', { timeout: '60' }],
  ['a template that is not a string', { template: 1 }],
  ['a reserved variable', { env: { EPHEMERA_ID: 'x' } }],
  ['an invalid variable name', { env: { 'A=B': 'x' } }],
  ['a value that is not a string', { env: { A: 1 } }],
  ['a value that is too long', { env: { A: 'x'.repeat(32_769) } }],
  ['a value with a NUL character', { env: { A: 'a\0b' } }],
  ['too many variables', { env: many(65) }],
  ['metadata of more than 2 KiB', { metadata: { a: 'x'.repeat(1_024), b: 'x'.repeat(1_010) } }],
  ['metadata of more than 2 KiB in UTF-8', { metadata: { a: 'ä'.repeat(1_021) } }],
  ['metadata of more than 2 KiB as JSON', { metadata: { a: '\u0001'.repeat(400) } }],
  ['too much metadata', { metadata: many(33) }],
  ['an invalid metadata key', { metadata: { ' ': 'x' } }],
  ['metadata with a line feed', { metadata: { a: 'a\nb' } }],
  ['metadata with a carriage return', { metadata: { a: 'a\rb' } }],
  ['metadata with a NUL character', { metadata: { a: 'a\0b' } }],
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

import { expect, test } from 'vitest';
import { createRequestSchema } from './create-request.ts';

test('everything may be left out', () => {
  expect(createRequestSchema.parse({})).toEqual({});
});

test('takes what an instance may be given', () => {
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
  ['an image: only a template may be named', { image: 'evil/miner' }],
  ['an unknown field', { Template: 'demo' }],
  ['a timeout as text', { timeout: '60' }],
  ['a template that is no text', { template: 1 }],
  ['a variable of ours', { env: { EPHEMERA_ID: 'x' } }],
  ['a variable that is no name', { env: { 'A=B': 'x' } }],
  ['a value that is no text', { env: { A: 1 } }],
  ['a value that is too long', { env: { A: 'x'.repeat(32_769) } }],
  ['a value with a NUL, which ends it on its way', { env: { A: 'a\0b' } }],
  ['too many variables', { env: many(65) }],
  ['too much metadata', { metadata: many(33) }],
  ['a key of metadata that is none', { metadata: { ' ': 'x' } }],
  ['no object', []],
  ['nothing', null],
])('refuses %s', (_, body) => {
  expect(createRequestSchema.safeParse(body).success).toBe(false);
});

test('a body that names a prototype changes none', () => {
  const parsed = createRequestSchema.safeParse(JSON.parse('{"__proto__": {"template": "demo"}}'));
  expect(parsed.success).toBe(false);
  expect(({} as { template?: string }).template).toBeUndefined();
});

import { expect, test } from 'vitest';
import { isName, nameReference } from './name.ts';

const ID = `a${'b1'.repeat(12)}c`;

test.each([
  'pr-42',
  'a',
  'main',
  'shop-pr-7-b',
  `x-${ID}z`,
  'a'.repeat(25),
  'a'.repeat(27),
  'a'.repeat(40),
])('%s is a name', (name) => {
  expect(isName(name)).toBe(true);
});

test.each([
  ['', 'empty'],
  ['42', 'begins with a digit'],
  ['-pr', 'begins with a hyphen'],
  ['pr-', 'ends with a hyphen'],
  ['api--pr', 'has the separator of a port'],
  ['Pr-42', 'has an upper-case letter'],
  ['pr.42', 'has a dot'],
  ['pr_42', 'has an underscore'],
  [ID, 'is an id'],
  [`web-${ID}`, 'is the address of a port of an id'],
  ['a'.repeat(41), 'is too long'],
])('%j is no name: it %s', (name) => {
  expect(isName(name)).toBe(false);
});

test('a reference to a name is no id and no name', () => {
  expect(nameReference('pr-42')).toBe('@pr-42');
});

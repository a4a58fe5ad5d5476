import { expect, test } from 'vitest';
import { distinctErrors } from './distinct-errors.ts';

test('of equal errors in a row only the first is passed on', () => {
  const seen: string[] = [];
  const onError = distinctErrors((error) => seen.push(String(error)));
  for (const text of ['a', 'a', 'b', 'b', 'a']) onError(new Error(text));
  expect(seen).toEqual(['Error: a', 'Error: b', 'Error: a']);
});

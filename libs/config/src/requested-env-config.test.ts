import { expect, test } from 'vitest';
import { requestedEnvFields } from './requested-env-config.ts';

const { envAllow } = requestedEnvFields;

test('takes names and patterns, and loader variables by their exact name', () => {
  const list = ['GREETING', '_x1', 'APP_*', '*', 'PATH', 'LD_PRELOAD'];
  expect(envAllow.parse(list)).toEqual(list);
  expect(envAllow.parse(undefined)).toEqual([]);
});

test.each([
  ['', /name of a variable/],
  ['1A', /name of a variable/],
  ['A*B', /\* at its end/],
  ['*A', /\* at its end/],
  ['A**', /\* at its end/],
  ['A?', /\* at its end/],
  ['A=B', /name of a variable/],
  ['EPHEMERA_ID', /reserved/],
  ['EPHEMERA_*', /reserved/],
  ['LD_*', /exact name/],
  ['PYTHON*', /exact name/],
])('refuses %j', (text, message) => {
  expect(envAllow.safeParse([text]).error?.issues[0]?.message).toMatch(message);
});

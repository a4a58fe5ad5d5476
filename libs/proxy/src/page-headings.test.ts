import { problemOf } from '@ephemera/contract';
import { expect, test } from 'vitest';
import { detailBelowHeading, headingOf } from './page-headings.ts';

test('a page names what has happened before it names a status', () => {
  const { problem } = problemOf({ kind: 'gone', id: 'a', reason: 'ttl' });
  expect(headingOf(problem, 'Notebook')).toBe('Notebook has ended');
  expect(headingOf(problem)).toBe('This instance has ended');
  expect(detailBelowHeading(problem.detail)).toBe('It reached its deadline.');
  const full = problemOf({ kind: 'full', limit: 'queue' }).problem;
  expect(headingOf(full)).toBe('Everything is in use right now');
});

test('another problem keeps its title', () => {
  const { problem } = problemOf({ kind: 'method_not_allowed', allow: 'GET' });
  expect(headingOf(problem)).toBe('Method not allowed');
  expect(detailBelowHeading('This instance has ended.')).toBe('This instance has ended.');
});

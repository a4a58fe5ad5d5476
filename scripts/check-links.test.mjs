import { expect, test } from 'vitest';
import { anchorsIn, brokenLinks } from './check-links.mjs';

const files = { 'docs/A.md': '# One\n\n## Two words\n', 'docs/images/a.png': '' };
const targetsIn = (text) =>
  brokenLinks('docs/B.md', text, (path) => files[path]).map(({ line, target }) => [line, target]);

test.each([
  ['a file that is not there', 'Text.\n\n[a](missing.md)', [[3, 'missing.md']]],
  ['a heading that is not there', '[a](A.md#three)', [[1, 'A.md#three']]],
  ['a heading of the same file', '# B\n\n[a](#c)', [[3, '#c']]],
  ['an image that is not there', '![a](images/b.png)', [[1, 'images/b.png']]],
  ['a path that begins elsewhere', '[a](docs/A.md)', [[1, 'docs/A.md']]],
])('%s is broken', (_, text, expected) => {
  expect(targetsIn(text)).toEqual(expected);
});

test.each([
  ['a file', '[a](A.md)'],
  ['a heading', '[a](A.md#two-words)'],
  ['a heading of the same file', '# B c\n\n[a](#b-c)'],
  ['an image', '![a](images/a.png "A")'],
  ['another site', '[a](https://example.org/missing.md)'],
  ['code', '`[a](missing.md)`\n\n```md\n[a](missing.md)\n```\n'],
])('%s passes', (_, text) => {
  expect(targetsIn(text)).toEqual([]);
});

test('headings get the anchors that GitHub gives them', () => {
  const text = '# `GET /v1/{id}`\n\n## A: b & c\n\n## A: b & c\n\n```sh\n# no heading\n```\n';
  expect([...anchorsIn(text)]).toEqual(['get-v1id', 'a-b--c', 'a-b--c-1']);
});

import { expect, test } from 'vitest';
import { findingsIn } from './check-vocabulary.mjs';

const wordsIn = (path, text) => findingsIn(path, text).map(({ line, word }) => `${line}:${word}`);

test.each([
  ['a function', 'libs/a.ts', 'export function tellSkew() {}', ['1:tellSkew']],
  ['a class', 'libs/a.ts', '\nexport class FairTurns {}', ['2:FairTurns']],
  ['an interface', 'libs/a.ts', 'interface Petition {}', ['1:Petition']],
  ['a type alias', 'libs/a.ts', "type InLanes = 'x';", ['1:InLanes']],
  ['a variable', 'libs/a.ts', 'const underWay = 1;', ['1:underWay']],
  ['a renaming destructuring', 'libs/a.ts', 'const { a: underWay } = x;', ['1:underWay']],
  ['a property', 'libs/a.ts', 'interface A {\n  doubtful?: boolean;\n}', ['2:doubtful']],
  ['a private method', 'libs/a.ts', 'class A {\n  #orBack() {}\n}', ['2:orBack']],
  ['a parameter', 'libs/a.ts', 'function f(within: number) {}', ['1:within']],
  ['a parameter of an arrow', 'libs/a.ts', 'const f = list.map((each) => each.id);', ['1:each']],
  ['a member of a union', 'libs/a.ts', "type A = 'thaw' | 'end';", ['1:thaw']],
  ['the value of a kind', 'libs/a.ts', "f({ kind: 'unasked' });", ['1:unasked']],
  ['a Lua function', 'libs/a.lua', 'local x = 1\nlocal function remind(a) end', ['2:remind']],
  ['a file', 'libs/fair-turns.ts', '', ['1:fair-turns.ts']],
  ['the test of a file', 'libs/fair-turns.test.ts', '', ['1:fair-turns.test.ts']],
  ['a folder', 'apps/proxy/src/entrance/page.ts', '', ['1:entrance/']],
])('%s with a retired name', (_, path, text, expected) => {
  expect(wordsIn(path, text)).toEqual(expected);
});

test.each([
  ['a line comment', 'a.ts', '// The last sign of life.', ['1:sign of life']],
  [
    'a comment over two lines',
    'a.ts',
    '/**\n * The last sign\n * of life.\n */',
    ['2:sign of life'],
  ],
  ['a comment behind code', 'a.ts', 'f(); // Whoever waits.', ['1:Whoever']],
  ['a message', 'a.ts', "log.warn('this worker was buried');", ['1:buried']],
  ['a template', 'a.ts', 'log.warn(`host ${host} is told of`);', ['1:is told of']],
  ['a Lua comment', 'a.lua', '-- The last sign\n-- of life.', ['1:sign of life']],
  ['a YAML comment', 'a.yml', 'a: 1\n# Whoever waits.', ['2:Whoever']],
  ['Markdown', 'docs/A.md', 'Text.\n\nWhoever waits.', ['3:Whoever']],
])('a listed phrase in %s', (_, path, text, expected) => {
  expect(wordsIn(path, text)).toEqual(expected);
});

test.each([
  [
    'standard terms',
    'a.ts',
    '/** Reports progress. */\nexport function report(timeoutMs: number, signal: AbortSignal) {}',
  ],
  ['common words that are no parameters', 'a.ts', 'const each = 1;\nconst end = each + 1;'],
  ['the use of a foreign name', 'a.ts', 'library.tellSkew();'],
  ['a key that an API defines', 'a.ts', "const { within } = template;\nf('within');"],
  ['the user nobody', 'a.md', 'It runs as nobody, in a room-sized cage.'],
  ['a phrase inside a word', 'a.ts', '// The classroom has headroom.'],
  ['the string of a test', 'a.test.ts', "test('whoever waits', () => {});"],
  ['code in Markdown', 'A.md', 'Use `anew`.\n\n```\nwhoever\n```\n'],
])('%s pass', (_, path, text) => {
  expect(findingsIn(path, text)).toEqual([]);
});

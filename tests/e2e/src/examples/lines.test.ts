import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rowsOf } from '../page-table.ts';
import { exampleNames } from './example.ts';

const root = join(import.meta.dirname, '../../../..');

/** Lines of the template of an example, without those of `image` and `port`. */
function additionalLines(name: string): string[] {
  const lines = readFileSync(join(root, 'examples', name, 'ephemera.yml'), 'utf8').split('\n');
  const template = lines.filter((line) => /^ {4,}[^ #]/.test(line));
  expect(template.filter((line) => /^ {4}(?:image|port): /.test(line))).toHaveLength(2);
  return template.filter((line) => !/^ {4}(?:image|port): /.test(line));
}

/** The last two columns of each row of the guide's table: the number of lines, and their fields. */
function documentedLines(): Map<string, { count: number; fields: string[] }> {
  const guide = readFileSync(join(root, 'docs/guides/applications.md'), 'utf8');
  const rows = guide.matchAll(/^\| `([\w-]+)` .*\| +(\d+) +\|([^|]*)\|$/gm);
  return new Map(
    Array.from(rows, ([, name = '', count, fields = '']) => [
      name,
      { count: Number(count), fields: Array.from(fields.matchAll(/`(\w+)`/g), (m) => m[1] ?? '') },
    ]),
  );
}

test('the guide says how many lines the template of each example has beyond image and port', () => {
  const found = exampleNames().map((name) => {
    const lines = additionalLines(name);
    const fields = lines.flatMap((line) => /^ {4}(\w+):/.exec(line)?.[1] ?? []);
    return [name, { count: lines.length, fields }] as const;
  });
  expect(documentedLines()).toEqual(new Map(found));
});

test('seven of ten applications need at most three lines beyond image and port', () => {
  const names = exampleNames();
  const short = names.filter((name) => additionalLines(name).length <= 3);
  expect(short.length / names.length).toBeGreaterThanOrEqual(0.7);
});

test('with what `ephemera try` finds, seven of ten applications serve with three more lines', () => {
  const guide = readFileSync(join(root, 'docs/guides/applications.md'), 'utf8');
  const rows = rowsOf(guide, 'npm run examples -- --try --write');
  const names = exampleNames().map((name) => `\`${name}\``);
  expect(names).toEqual(expect.arrayContaining(rows.map(([name]) => name)));
  const good = rows.filter(([, , lines, , serves]) => Number(lines) <= 3 && serves === 'ok');
  expect(good.length / names.length).toBeGreaterThanOrEqual(0.7);
});

test('each example is used in a browser', () => {
  const folder = join(root, 'tests/e2e/test');
  const files = readdirSync(folder).filter((file) => /^examples.*\.test\.ts$/.test(file));
  const text = files.map((file) => readFileSync(join(folder, file), 'utf8')).join('\n');
  const used = Array.from(text.matchAll(/^useExample\(\s*'([\w-]+)'/gm), ([, name]) => name);
  expect(used.sort()).toEqual(exampleNames());
});

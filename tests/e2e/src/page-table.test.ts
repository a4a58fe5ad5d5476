import { expect, test } from 'vitest';
import { markdownTable, rowsOf, withTable } from './page-table.ts';

const COMMAND = 'npm run matrix -- --write';
const page = (text: string) =>
  `before\n\n<!-- ${COMMAND} -->\n\n${text}\n\n<!-- end -->\n\nafter\n`;

test('a table has the width of its longest cells, and keeps bars in cells', () => {
  const lines = markdownTable(
    ['name', 'b'],
    [
      ['x', 'up | down'],
      ['longer', '–'],
    ],
  );
  expect(lines).toEqual([
    '| name   | b          |',
    '| ------ | ---------- |',
    '| x      | up \\| down |',
    '| longer | –          |',
  ]);
  expect(rowsOf(page(lines.join('\n')), COMMAND)).toEqual([
    ['x', 'up | down'],
    ['longer', '–'],
  ]);
});

test('the table of a page is replaced, and the rest of the page is kept', () => {
  const written = withTable(page('old'), COMMAND, ['| new |']);
  expect(written).toBe(page('| new |'));
  expect(withTable(written, COMMAND, ['| new |'])).toBe(written);
  expect(() => withTable('no table', COMMAND, [])).toThrow('no table between');
  expect(() => rowsOf('no table', COMMAND)).toThrow('no table between');
});

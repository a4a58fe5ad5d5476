/** Tables in pages of the documentation that a command measures and writes. */

/** Begins a table of the page; an HTML comment that names the command. */
const begin = (command: string) => `<!-- ${command} -->`;
const END = '<!-- end -->';

/** The rows as a Markdown table, in the format of Prettier. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const cells = [[...head], ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const width = (column: number) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(width(column))).join(' | ')} |`;
  const [first = [], ...others] = cells;
  const rule = line(head.map((_, column) => '-'.repeat(width(column))));
  return [line(first), rule, ...others.map(line)];
}

/**
 * The cells of the rows below the head of a table that a command has written.
 * @throws Error if the page has no place for the table
 */
export function rowsOf(page: string, command: string): string[][] {
  const { text } = placeOf(page, command);
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}

/**
 * Replaces the table of a command in a page.
 * @throws Error if the page has no place for it
 */
export function withTable(page: string, command: string, lines: readonly string[]): string {
  const { before, after } = placeOf(page, command);
  return `${before}\n\n${lines.join('\n')}\n\n${after}`;
}

function placeOf(page: string, command: string) {
  const start = page.indexOf(begin(command));
  const end = page.indexOf(END, start);
  if (start < 0 || end < 0) {
    throw new Error(`The page has no table between ${begin(command)} and ${END}.`);
  }
  const from = start + begin(command).length;
  return { before: page.slice(0, from), text: page.slice(from, end), after: page.slice(end) };
}

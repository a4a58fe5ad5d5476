/** A note for readers of the generated pages: it names the source to edit. */
export const generatedFrom = (source: string): string =>
  `This page is generated from ${source} by \`node scripts/reference.ts\`. Do not edit it.`;

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Blocks with an empty line between; empty blocks are dropped. */
export const blocks = (...parts: readonly string[]): string =>
  parts.filter((part) => part !== '').join('\n\n');

export const code = (text: string): string => `\`${text}\``;

/** A sentence: with a full stop, unless the text ends with one. */
export const sentence = (text: string): string =>
  text === '' || /[.:]$/.test(text) ? text : `${text}.`;

import { readFileSync } from 'node:fs';

/** Returns the end of a log file, indented; an empty text if the file does not exist. */
export function lastLines(file: string, count = 15): string {
  try {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
    return lines.map((line) => `    ${line}`).join('\n');
  } catch {
    return '';
  }
}

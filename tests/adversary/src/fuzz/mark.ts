const MARK = /m(0|[1-9]\d*)k([0-9a-z]+)z/g;

/** Returns a mark that distinguishes a case from every other one. A mutated mark is detected. */
export function markOf(number: number): string {
  return `m${number}k${checksum(number)}z`;
}

/** Returns the cases whose marks are in a text. */
export function marksIn(text: string): number[] {
  const found: number[] = [];
  for (const [, digits = '', sum = ''] of text.matchAll(MARK)) {
    const number = Number(digits);
    if (checksum(number) === sum) found.push(number);
  }
  return found;
}

function checksum(number: number): string {
  return (Math.imul(number + 1, 0x9e3779b1) >>> 0).toString(36);
}

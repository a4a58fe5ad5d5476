import type { Random } from '@ephemera/test-support';

/** Texts that parsers disagree about. */
const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  '"',
  '\r\n ',
  '\r\n\r\n',
  '0\r\n\r\n',
  '0',
  '1',
  'f',
  '00',
  '+',
  '-',
  '0x',
  '%0d%0a',
  '%2e%2e',
  '../',
  '//',
  '#',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/1.1 200 OK\r\n',
  'chunked',
  'identity',
  'gzip, ',
  'Content-Length: 0\r\n',
  'Content-Length: 3\r\n',
  'Content-Length: 999\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding:',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: content-length\r\n',
  'Connection: transfer-encoding\r\n',
  'Upgrade: websocket\r\n',
  'Upgrade: h2c\r\n',
  'Expect: 100-continue\r\n',
  'Host: b\r\n',
  'Trailer: X\r\n',
  'GET ',
  'POST ',
  'HEAD ',
];

type Mutation = (bytes: string, random: Random, other: string) => string;

const splice = (bytes: string, at: number, drop: number, put: string) =>
  bytes.slice(0, at) + put + bytes.slice(at + drop);
const lineAt = (bytes: string, random: Random) => {
  const lines = bytes.split('\r\n');
  return { lines, at: random(lines.length) };
};

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => splice(bytes, random(bytes.length + 1), 0, pick(TOKENS, random)),
  (bytes, random) => splice(bytes, random(bytes.length + 1), 1, pick(TOKENS, random)),
  (bytes, random) => splice(bytes, random(bytes.length + 1), 1 + random(4), ''),
  (bytes, random) =>
    splice(bytes, random(bytes.length + 1), random(2), String.fromCharCode(random(256))),
  (bytes, random) => {
    const { lines, at } = lineAt(bytes, random);
    lines.splice(random(lines.length + 1), 0, lines[at] ?? '');
    return lines.join('\r\n');
  },
  (bytes, random) => {
    const { lines, at } = lineAt(bytes, random);
    lines.splice(at, 1);
    return lines.join('\r\n');
  },
  (bytes, random) => {
    const { lines, at } = lineAt(bytes, random);
    const line = lines[at] ?? '';
    // ASCII only, because a letter outside latin1 would change other bytes.
    lines[at] =
      random(2) === 0
        ? line.replace(/[a-z]+/g, (small) => small.toUpperCase())
        : line.replace(/[A-Z]+/g, (big) => big.toLowerCase());
    return lines.join('\r\n');
  },
  (bytes, random) => {
    const { lines, at } = lineAt(bytes, random);
    lines[at] = splice(
      lines[at] ?? '',
      random((lines[at] ?? '').length + 1),
      0,
      pick(TOKENS, random),
    );
    return lines.join('\r\n');
  },
  (bytes, random) => {
    // Replaces the end of a line with another form.
    const ends = [...bytes.matchAll(/\r\n/g)];
    const at = ends[random(ends.length || 1)]?.index ?? 0;
    return splice(bytes, at, 2, pick(['\n', '\r', '\r\n\r\n', '\r\r\n', '\r\n\t', ''], random));
  },
  (bytes, random, other) =>
    bytes.slice(0, random(bytes.length)) + other.slice(random(other.length)),
  (bytes, _random, other) => bytes + other,
  (bytes, random) => bytes.slice(0, random(bytes.length)),
];

/** Applies a few mutations, or none. @param other the source of inserted parts */
export function mutate(bytes: string, other: string, random: Random): string {
  let mutated = bytes;
  for (let left = random(5); left > 0; left--) {
    mutated = pick(MUTATIONS, random)(mutated, random, other);
  }
  return mutated;
}

export function pick<T>(from: readonly T[], random: Random): T {
  const found = from[random(from.length)];
  if (found === undefined) throw new Error('there is nothing to pick from');
  return found;
}

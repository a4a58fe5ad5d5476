import { request } from 'node:http';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { ResponseParser } from './response-parser.ts';

// The parser must be at least as strict as llhttp. Whatever it accepts, llhttp must accept too
// (through the client of node:http), with the same status, fields and body. The one exception is a
// Content-Length that is repeated with the same digits. The cases are mutations of valid responses; a failure names its seed. EPHEMERA_FUZZ_CASES and EPHEMERA_FUZZ_SEED change
// the number of cases and the seed.

const CASES = Number(process.env['EPHEMERA_FUZZ_CASES'] ?? 5_000);
const SEED = Number(process.env['EPHEMERA_FUZZ_SEED'] ?? 1);

const SEEDS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00a\r\n0123456789\r\n0\r\nT: 1\r\n\r\n',
  'HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 204 No Content\r\nConnection: close, x\r\nX: 1\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nServer: x\r\nKeep-Alive: timeout=5\r\n\r\nuntil the end',
  'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 4\r\n\r\n',
];
const PIECES = [
  ...['\r', '\n', '\r\n', '\n\n', '\r\n\r\n', ' ', '\t', '\0', '\x0b', '\x7f', '\xff', ':', ';'],
  ...[',', '0', '1', 'f', '-', '+', 'chunked', 'gzip, ', 'HTTP/1.1 200 OK\r\n', '101', '0\r\n\r\n'],
  ...['Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n', ' x'],
  ...['Trailer: T\r\n', 'Content-Length', 'Transfer-Encoding', '\r\n x', 'HEAD'],
];

/** Reproducible random numbers from a seed (mulberry32). */
function randomness(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function mutate(random: (below: number) => number): string {
  let bytes = SEEDS[random(SEEDS.length)] ?? '';
  for (let count = random(4); count > 0; count--) {
    const at = random(bytes.length + 1);
    const until = at + random(6);
    const piece = PIECES[random(PIECES.length)] ?? '';
    const changes = [
      () => bytes.slice(0, at) + piece + bytes.slice(at),
      () => bytes.slice(0, at) + piece + bytes.slice(until),
      () => bytes.slice(0, at) + bytes.slice(until),
      () => bytes.slice(0, until) + bytes.slice(at),
      () => bytes.slice(0, at) + String.fromCharCode(random(256)) + bytes.slice(at + 1),
      () => bytes.replace('\r\n', piece),
    ];
    bytes = changes[random(changes.length)]?.() ?? bytes;
  }
  return bytes;
}

interface Reading {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: string;
}

/**
 * Returns what the parser reads from bytes that arrive in random parts, and how many belong to the
 * response; undefined if it refuses them or the response is incomplete.
 */
function read(
  bytes: string,
  random: (below: number) => number,
): (Reading & { taken: number }) | undefined {
  let taken = 0;
  let status = 0;
  let fields: readonly string[] = [];
  let body = '';
  const parser = new ResponseParser();
  parser.begin('GET', {
    onHead: (head) => {
      status = head.status;
      fields = head.fields.endToEnd;
    },
    onBody: (data) => (body += data.toString('latin1')),
    onEnd: () => undefined,
  });
  try {
    for (let at = 0; at < bytes.length && parser.isBusy;) {
      const end = at + 1 + random(random(4) === 0 ? 3 : 60);
      taken += parser.push(Buffer.from(bytes.slice(at, end), 'latin1'));
      at = end;
    }
  } catch {
    return undefined;
  }
  return parser.end() ? { status, fields, body, taken } : undefined;
}

/** A response without the repetitions of a Content-Length line in its head. */
function mergeLengths(bytes: string): string {
  const end = bytes.lastIndexOf('\r\n\r\n');
  const [head, rest] = [bytes.slice(0, end), bytes.slice(end)];
  return head.replaceAll(/(\r\ncontent-length:[^\r]*)(?=[^]*\1)/gi, '') + rest;
}

/** The same with llhttp. */
function readByNode(bytes: string): Promise<Reading | undefined> {
  return new Promise((resolve) => {
    const connection = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => {
        done();
        connection.push(Buffer.from(bytes, 'latin1'));
        connection.push(null);
      },
    });
    connection.on('error', () => undefined);
    const sent = request({ createConnection: () => connection, host: 'a' });
    sent.on('error', () => resolve(undefined));
    sent.on('upgrade', () => resolve(undefined));
    sent.on('response', (response) => {
      let body = '';
      response.on('data', (data: Buffer) => (body += data.toString('latin1')));
      response.on('error', () => resolve(undefined));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        resolve({ status, fields: response.rawHeaders, body });
      });
    });
    sent.end();
  });
}

test(`${CASES} mutated responses of seed ${SEED}: none is accepted that llhttp refuses`, async () => {
  const random = randomness(SEED);
  let accepted = 0;
  for (let index = 0; index < CASES; index++) {
    const bytes = mutate(random);
    const reading = read(bytes, random);
    if (!reading) continue;
    accepted++;
    const other = await readByNode(mergeLengths(bytes.slice(0, reading.taken)));
    const text = `case ${index} of seed ${SEED}: ${JSON.stringify(bytes)}`;
    expect({ status: other?.status, body: other?.body }, text).toEqual({
      status: reading.status,
      body: reading.body,
    });
    const kept = [...(other?.fields ?? [])];
    for (const part of reading.fields) {
      const at = kept.indexOf(part);
      expect(at, text).not.toBe(-1);
      kept.splice(0, at + 1);
    }
  }
  // Otherwise the test would have compared nothing.
  expect(accepted).toBeGreaterThan(CASES / 20);
});

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAdminApi } from '../admin-api.ts';
import { runCli } from '../cli.ts';
import { createContext } from '../context.ts';
import { createTextWriter, visible } from './visible.ts';

test.each([
  ['a title', '\u001b]0;owned\u0007', '\\u001b]0;owned\\u0007'],
  ['a clear screen', '\u001b[2J', '\\u001b[2J'],
  ['a C1 control', '\u009b2J\u0090', '\\u009b2J\\u0090'],
  ['backspaces', 'ab\b\bcd\u007f', 'ab\\u0008\\u0008cd\\u007f'],
  ['a lone carriage return', 'secret\rfine\r\r\n', 'secret\\u000dfine\\u000d\r\n'],
  ['a reversed name', 'a\u202egpj.exe\u2066\u200f\u061c', 'a\\u202egpj.exe\\u2066\\u200f\\u061c'],
  ['other line ends', 'a\u000bb\u000cc\u0085d\u2028e', 'a\\u000bb\\u000cc\\u0085d\\u2028e'],
  ['plain text', 'ä€😀 \t日本\r\nעברית\n', 'ä€😀 \t日本\r\nעברית\n'],
])('%s', (_what, text, shown) => {
  expect(visible(text)).toBe(shown);
});

test('a line end may lie between two chunks, and a carriage return may be the last character', () => {
  let text = '';
  const stream = { isTTY: true, write: (more: string) => (text += more) };
  const { write, end } = createTextWriter(stream, false);
  for (const chunk of ['a\r', '\nb\r', 'c\r', '\r', '\n', 'd\r']) write(chunk);
  end();
  expect(text).toBe('a\r\nb\\u000dc\\u000d\r\nd\\u000d');
});

// The whole program on a pseudo-terminal, with a control API that returns hostile text everywhere.

const EVIL = '\u001b]52;c;cHduZWQ=\u0007\u001b[1A\u001b[2K\u009b31m\u007f\u202emoc\rfine';
const main = join(import.meta.dirname, '../main.ts');
const instance = {
  id: EVIL,
  template: EVIL,
  url: EVIL,
  baseUrl: EVIL,
  ports: { [EVIL]: { port: 80, url: EVIL }, api: { port: 81, url: EVIL } },
  status: { state: 'failed', reason: EVIL, message: EVIL },
  createdAt: EVIL,
  expiresAt: EVIL,
  metadata: { [EVIL]: EVIL },
  renewal: { outcome: EVIL, previousExpiresAt: EVIL, isAtMaximum: false },
  warnings: [{ kind: EVIL, detail: EVIL, at: EVIL }],
  link: EVIL,
};
const server = createServer((req, res) => {
  const { pathname } = new URL(req.url ?? '', 'http://a');
  if (pathname.includes('/refused')) {
    res.writeHead(400, { 'content-type': 'application/problem+json' });
    res.end(
      JSON.stringify({
        type: `urn:ephemera:problem:${EVIL}`,
        title: EVIL,
        status: 400,
        detail: EVIL,
      }),
    );
  } else if (pathname.endsWith('/logs')) {
    res.end(`one\n${EVIL}\nlast\r\n`);
  } else if (req.method === 'GET' && pathname === '/v1/instances') {
    res.end(JSON.stringify({ items: [instance] }));
  } else {
    res.end(JSON.stringify(instance));
  }
});
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => server.close());

const urlOf = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Runs a command line in this process. */
async function run(words: readonly string[], isTTY: boolean): Promise<string> {
  let text = '';
  const stream = { isTTY, write: (more: string) => (text += more) };
  const context = {
    ...createContext({ stdout: stream, stderr: stream }),
    api: () => createAdminApi(urlOf(), 'a-token'),
  };
  // An id is used as it is only if it is complete.
  const full = words.map((word) => (/^(?:abc|refused)$/.test(word) ? word.padEnd(26, 'c') : word));
  await runCli(full, context);
  return text;
}

const CONTROLS = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e-\u200f\u2028-\u202e]|\r(?!\r?\n)/;

test.each([
  'logs abc',
  'logs abc --follow --timestamps',
  'ls',
  'ls --json',
  'ls --quiet',
  'get abc',
  'get abc --json',
  'run',
  'run -q',
  'run --wait',
  'renew abc --timeout 1m',
  'link',
  'get refused',
  'logs refused',
  `get abc ${EVIL}`,
  `get --${EVIL}`,
  `renew abc --timeout ${EVIL}`,
  EVIL,
  `-${EVIL}`,
  '__complete get ',
])('`ephemera %j` sends nothing to a terminal that it acts on', async (line) => {
  const shown = await run(line.split(' '), true);
  expect(shown).not.toMatch(CONTROLS);
  expect(shown).toContain('\\u001b');
});

test.each(['logs abc', 'ls', 'get abc', 'run'])('`ephemera %s` is raw when piped', async (line) => {
  expect(await run(line.split(' '), false)).toContain(EVIL);
});

test.each(['logs abc --raw', 'get abc --raw', 'ls --quiet --raw'])(
  '`ephemera %s` is raw on a terminal',
  async (line) => {
    expect(await run(line.split(' '), true)).toContain(EVIL);
  },
);

test('JSON stays JSON on a terminal', async () => {
  const text = await run(['get', 'abc', '--json'], true);
  expect(JSON.parse(text)).toMatchObject({ id: EVIL, metadata: { [EVIL]: EVIL } });
});

test('the program recognises a real terminal, and colours only its own errors', async () => {
  const command = `'${process.execPath}' '${main}'`;
  const [abc, refused] = ['abc', 'refused'].map((word) => word.padEnd(26, 'c'));
  const line = `${command} logs ${abc}; ${command} get ${refused}; true`;
  const env = {
    ...process.env,
    EPHEMERA_ADMIN_URL: urlOf(),
    EPHEMERA_ADMIN_TOKEN: 'a-token-of-some-length-0123456789',
    TERM: 'xterm-256color',
  };
  const { stdout } = await promisify(execFile)('script', ['-qec', line, '/dev/null'], { env });
  expect(stdout.replaceAll(/\u001b\[(?:1|31|39|22)m/g, '')).not.toMatch(CONTROLS);
  expect(stdout.match(/\\u001b\]52/g)).toHaveLength(3);
});

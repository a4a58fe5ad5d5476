import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Koa from 'koa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { bodyReader } from './read-body.ts';

const read = {
  json: bodyReader({ type: 'json', limit: 1024, schema: z.unknown() }),
  form: bodyReader({ type: 'form', limit: 1024, schema: z.unknown() }),
};
const app = new Koa();
app.use(async (ctx) => {
  ctx.body = await (ctx.request.is('json') === 'json' ? read.json : read.form)(ctx);
});
const handle = app.callback();
const server = createServer((req, res) => void handle(req, res));

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => void server.close());

async function send(body: string | Uint8Array<ArrayBuffer>, type = 'application/json') {
  const { port } = server.address() as AddressInfo;
  const address = `http://127.0.0.1:${port}/`;
  const answer = await fetch(address, { method: 'POST', headers: { 'content-type': type }, body });
  return answer.json();
}
const FORM = 'application/x-www-form-urlencoded';

test.each([
  ['a byte order mark', '\uFEFF{"a":"é"}', { a: 'é' }],
  ['a character of two code units', '{"a":"😀"}', { a: '😀' }],
  ['its escape as a pair', String.raw`{"a":"\ud83d\ude00"}`, { a: '😀' }],
  ['an escaped backslash before the same letters', String.raw`{"a":"\\ud83d"}`, { a: '\\ud83d' }],
  ['the replacement character as an escape', String.raw`{"a":"\ufffd"}`, { a: '\uFFFD' }],
])('JSON with %s is read', async (_, text, body) => {
  expect(await send(text)).toEqual({ ok: true, body });
});

test.each([
  ['Latin-1', Buffer.from('{"a":"caf\xe9"}', 'latin1'), 'must be UTF-8'],
  ['a byte of a longer character', Buffer.from([0x22, 0xf0, 0x9f, 0x22]), 'must be UTF-8'],
  ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'must be UTF-8'],
  ['the first half of a pair', Buffer.from(String.raw`{"a":"\ud83d"}`), 'surrogate'],
  ['the second half of a pair', Buffer.from(String.raw`{"a":"\uDE00x"}`), 'surrogate'],
  ['the halves in reverse', Buffer.from(String.raw`{"a":"\ude00\ud83d"}`), 'surrogate'],
  ['half a pair in a key', Buffer.from(String.raw`{"\ud83d":1}`), 'surrogate'],
])('JSON with %s is refused, not changed', async (_, bytes, reason) => {
  const detail = expect.stringContaining(reason) as string;
  expect(await send(bytes)).toMatchObject({ ok: false, status: 400, fault: { detail } });
});

test('a form that is not UTF-8 is refused', async () => {
  const bytes = Buffer.from('a=caf\xe9', 'latin1');
  expect(await send(bytes, FORM)).toMatchObject({ ok: false, status: 400 });
  expect(await send('a=caf%C3%A9', FORM)).toEqual({ ok: true, body: { a: 'café' } });
});

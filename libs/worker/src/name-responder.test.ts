import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { respondToNames } from './name-responder.ts';
import type { NameResponder } from './name-responder.ts';

let responder: NameResponder;
let resolver: Resolver;

beforeAll(async () => {
  responder = await respondToNames('127.0.0.1');
  resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([`127.0.0.1:${responder.port}`]);
});
afterAll(() => responder.close());

/** A query for `a.b`: id 0x1234, RD, one question, and the options of EDNS. */
const QUERY = Buffer.from(
  '123401000001000000000001' + '0161016200' + '00010001' + '0000291000000000000000',
  'hex',
);

test.each([
  ['A', () => resolver.resolve4('example.com')],
  ['AAAA', () => resolver.resolve6('example.com')],
  ['MX', () => resolver.resolveMx('example.com')],
  ['PTR', () => resolver.reverse('192.0.2.7')],
])('no name exists, by %s', async (_, query) => {
  await expect(query()).rejects.toMatchObject({ code: 'ENOTFOUND' });
});

test('localhost has the address of loopback', async () => {
  expect(await resolver.resolve4('localhost')).toEqual(['127.0.0.1']);
  expect(await resolver.resolve4('api.LOCALHOST')).toEqual(['127.0.0.1']);
  await expect(resolver.resolve6('localhost')).rejects.toMatchObject({ code: 'ENODATA' });
});

test('a reply repeats the question, and only that', async () => {
  const socket = createSocket('udp4');
  socket.send(QUERY, responder.port, '127.0.0.1');
  const [reply] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  expect(reply.toString('hex')).toBe('123481830001000000000000' + '0161016200' + '00010001');
});

test('queries over TCP may arrive in pieces, and several on one connection', async () => {
  const socket = connect(responder.port, '127.0.0.1');
  const message = Buffer.concat([Buffer.from([0, QUERY.length]), QUERY]);
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
  socket.setNoDelay();
  const both = Buffer.concat([message, message]);
  for (const byte of both) {
    socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  // The responder closes an idle connection.
  await once(socket, 'close');
  const reply = `0015123481830001000000000000016101620000010001`;
  expect(received.toString('hex')).toBe(reply + reply);
});

test('messages that are no queries get no reply, and do no harm', async () => {
  const socket = createSocket('udp4');
  const replies: Buffer[] = [];
  socket.on('message', (reply) => replies.push(reply));
  const isReply = Buffer.from(QUERY);
  isReply[2] = 0x81;
  const endless = Buffer.concat([QUERY.subarray(0, 12), Buffer.alloc(500, 63)]);
  const pointer = Buffer.concat([QUERY.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  const cut = Array.from({ length: 20 }, (_, length) => QUERY.subarray(0, length));
  for (const message of [isReply, endless, pointer, ...cut, Buffer.alloc(12)]) {
    socket.send(message, responder.port, '127.0.0.1');
  }
  socket.send(QUERY, responder.port, '127.0.0.1');
  await once(socket, 'message');
  expect(replies).toHaveLength(1);
  socket.close();
});

test('one connection gets a few replies, so that none wait unread', async () => {
  const socket = connect(responder.port, '127.0.0.1');
  let received = 0;
  socket.on('data', (chunk: Buffer) => (received += chunk.length)).on('error', () => undefined);
  const message = Buffer.concat([Buffer.from([0, QUERY.length]), QUERY]);
  socket.write(Buffer.concat(Array<Buffer>(1_000).fill(message)));
  await once(socket, 'close');
  // A reply has 21 bytes, and its length two.
  expect(received).toBeLessThanOrEqual(8 * 23);
});

test('an address that is not on this machine is an error, and leaves no socket open', async () => {
  const open = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWRAP').length;
  const before = open();
  await expect(respondToNames('192.0.2.77')).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
  expect(open()).toBe(before);
});

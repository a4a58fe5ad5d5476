import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { expect, onTestFinished, test } from 'vitest';
import { open } from '../test/data-plane/raw.ts';
import { abortOnClose, InFlightRequests } from './in-flight-requests.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
// After node:http has handed a connection over, it no longer reports its end.
const CONNECT = 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n';

async function counting(handler: (req: IncomingMessage, res: ServerResponse) => void) {
  const inFlight = new InFlightRequests();
  const begun: ServerResponse[] = [];
  const server = createServer(
    inFlight.track((req, res) => {
      begun.push(res);
      handler(req, res);
    }),
  );
  server.on('connect', (_req, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { inFlight, begun, client: open((server.address() as AddressInfo).port) };
}

/** Fails unless a drain ends long before its deadline. */
async function expectDrained(inFlight: InFlightRequests) {
  let drained = false;
  void inFlight.drain(3_600_000).then(() => (drained = true));
  await waitFor('the drain to end', () => drained, 2_000);
}

test('a pipelined request is answered in order, and a drain waits for it', async () => {
  const { inFlight, begun, client } = await counting((_req, res) => {
    if (begun.length > 1) res.end('next');
  });
  client.send(GET + GET);
  await waitFor('the first', () => begun.length === 1);
  begun[0]?.end('first');
  await client.until(/first[^]*next$/);
  client.socket.destroy();
  await expectDrained(inFlight);
});

test('a connection handed over during many requests leaves none in flight', async () => {
  const signals: AbortSignal[] = [];
  const { inFlight, client } = await counting((_req, res) => {
    signals.push(abortOnClose(res, undefined));
  });
  client.send(GET.repeat(50) + CONNECT);
  await client.untilClosed();
  await expectDrained(inFlight);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});

test('too many pipelined requests end the connection', async () => {
  const { inFlight, begun, client } = await counting(() => undefined);
  client.send(GET.repeat(300));
  await client.untilClosed();
  expect(begun).toHaveLength(1);
  await expectDrained(inFlight);
});

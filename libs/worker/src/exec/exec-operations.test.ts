import { once } from 'node:events';
import { IncomingMessage } from 'node:http';
import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { waitFor } from '@ephemera/test-support';
import { expect, test } from 'vitest';
import type { Command } from './command.ts';
import type { ExecEngine } from './exec-engine.ts';
import { execOperations } from './exec-operations.ts';
import { MAX_CALLS_PER_HOST, MAX_CALLS_PER_INSTANCE } from './limits.ts';

// Requests that wait for commands hold a connection to the worker each. One client must not take all.

function open() {
  const command = {
    waitForEnd: (_ms: number, signal: AbortSignal) => once(signal, 'abort'),
    status: () => ({ state: 'running' }),
    write: () => Promise.resolve({ kind: 'done', value: null }),
  } as unknown as Command;
  const killed: string[] = [];
  const done = { kind: 'done', value: null } as const;
  const engine = {
    find: () => ({ kind: 'done', value: command }),
    write: () => Promise.resolve(done),
    kill(_command: Command, signal: string) {
      killed.push(signal);
      return Promise.resolve(done);
    },
  } as unknown as ExecEngine;
  const operations = new Map(execOperations(engine));
  let waiting = 0;

  /** Sends a request. `answer` resolves to the result; `leave` disconnects the client. */
  const send = (operation: string, id: string) => {
    const client = new AbortController();
    const query = new URLSearchParams({ exec: 'x', wait: '60000', signal: 'KILL' });
    const { promise, resolve } = Promise.withResolvers<string>();
    const res = { setHeader: () => undefined, end: resolve } as unknown as ServerResponse;
    const req = new IncomingMessage(new Socket());
    req.push('{}');
    req.push(null);
    const call = { id, generation: 1, operation, query, signal: client.signal };
    waiting++;
    const ended = operations.get(operation)?.answer?.(call, req, res);
    void ended?.then(() => waiting--);
    const answer = promise.then((text) => JSON.parse(text) as { kind: string; why?: string });
    return { answer, leave: () => client.abort() };
  };
  return { send, killed, waiting: () => waiting };
}
const FULL = { kind: 'refused', why: 'full' };

test('an instance has so many requests about its commands in progress, and each end makes room', async () => {
  const { send, killed, waiting } = open();
  const clients = Array.from({ length: MAX_CALLS_PER_INSTANCE }, () => send('exec-read', 'i1'));
  for (const operation of ['exec', 'exec-read', 'exec-input', 'exec-resize']) {
    expect([operation, await send(operation, 'i1').answer]).toEqual([operation, FULL]);
  }
  // A kill makes room, so it is never refused for this reason. Other instances are served.
  expect(await send('exec-kill', 'i1').answer).toMatchObject({ kind: 'done' });
  expect(killed).toEqual(['KILL']);
  expect(await send('exec-input', 'i2').answer).toMatchObject({ kind: 'done' });

  clients[0]?.leave();
  await waitFor('its end', () => waiting() === MAX_CALLS_PER_INSTANCE - 1);
  expect(await send('exec-input', 'i1').answer).toMatchObject({ kind: 'done' });
  for (const { leave } of clients) leave();
  await waitFor('all ends', () => waiting() === 0);
});

test('a host has so many in progress', async () => {
  const { send, waiting } = open();
  const clients = Array.from({ length: MAX_CALLS_PER_HOST }, (_, i) => send('exec-read', `i${i}`));
  expect(await send('exec-input', 'other').answer).toEqual(FULL);
  clients[0]?.leave();
  await waitFor('its end', () => waiting() === MAX_CALLS_PER_HOST - 1);
  expect(await send('exec-input', 'other').answer).toMatchObject({ kind: 'done' });
  for (const { leave } of clients) leave();
  await waitFor('all ends', () => waiting() === 0);
});

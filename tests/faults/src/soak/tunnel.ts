import { request } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Expectations } from '../load/expectations.ts';
import { KEY } from './templates.ts';

/** How long a tunnel is used, and the interval between messages, ms. */
const OPEN_FOR = 8_000;
const EVERY = 250;
const TIMEOUT_MS = 5_000;

/**
 * Opens a tunnel to an instance, checks which instance responds, and sends messages that it must
 * echo.
 */
export async function useTunnel(
  url: string,
  id: string,
  expectations: Expectations,
): Promise<void> {
  const socket = await open(`${url}/demo/${id}/`);
  if (!socket) {
    expectations.refuse('tunnel not opened');
    return;
  }
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  for (let said = 0; said * EVERY < OPEN_FOR && !socket.closed; said++) {
    socket.write(`message ${said}\n`);
    await sleep(EVERY);
  }
  socket.destroy();
  const [who, ...echoed] = text.split('\n');
  if (who === undefined || text.length < id.length + 1) {
    expectations.refuse('tunnel cut');
    return;
  }
  expectations.answers++;
  if (who !== id)
    expectations.recordViolation(
      'no answer from another instance',
      `${id} was tunnelled to ${who}`,
    );
  const whole = echoed.slice(0, -1);
  const strange = whole.find((line, at) => line !== `message ${at}`);
  if (strange !== undefined)
    expectations.recordViolation('a tunnel echoes every message', `${id}: ${strange}`);
}

function open(url: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': KEY,
    };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const asked = request(url, { headers, agent: false, signal });
    asked.once('upgrade', (_, socket: Socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    asked.once('response', (response) => {
      response.destroy();
      resolve(undefined);
    });
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}

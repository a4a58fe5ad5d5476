import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How many requests may wait behind one that is being answered on the same connection. */
const MAX_PIPELINED = 100;

const waiting = new WeakMap<Socket, number>();

/**
 * Starts when the answers to earlier requests of the connection have left (pipelining): before its
 * turn a response may never hear of the connection's end. A connection with too many is ended.
 */
export function inPipelineOrder(res: ServerResponse, start: () => unknown): void {
  if (res.socket) {
    start();
    return;
  }
  const { socket } = res.req;
  const others = waiting.get(socket) ?? 0;
  if (others >= MAX_PIPELINED) {
    socket.destroy();
    return;
  }
  waiting.set(socket, others + 1);
  res.once('socket', () => {
    waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
    start();
  });
}

import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * A response object on a connection that node:http has handed over for an upgrade, so that an
 * answer other than 101 is framed as any other. The connection ends behind it.
 */
export function responseForSocket(socket: Socket, req: IncomingMessage): ServerResponse {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  // What node:http does for the connections that it has kept.
  const drained = () => void res.emit('drain');
  socket.on('drain', drained);
  res.once('finish', () => {
    socket.off('drain', drained);
    res.detachSocket(socket);
    socket.destroySoon();
  });
  return res;
}

import type { IncomingMessage, Server, ServerResponse } from 'node:http';

// node:http has one limit for all requests of a server.

const timers = new WeakMap<IncomingMessage, NodeJS.Timeout>();

/** Time in which a request must arrive, ms. As `requestTimeout` of node:http by default. */
const REQUEST_TIME_MS = 300_000;

/**
 * Bounds the time in which each request of a server arrives, and the rest of one that was answered
 * early. A late one is reported as node:http reports it, by the event `clientError`. The server needs
 * a `requestTimeout` that is longer than any that `extendRequestTime` allows.
 * @param ms time from the head of the request to its end
 */
export function limitRequestTime(server: Server, ms = REQUEST_TIME_MS): void {
  server.prependListener('request', (req: IncomingMessage, res: ServerResponse) => {
    limit(req, ms);
    // Whatever was allowed for the request, its rest has no use any longer.
    res.once('close', () => limit(req, ms));
    req.once('close', () => clearTimeout(timers.get(req)));
  });

  function limit(req: IncomingMessage, time: number): void {
    clearTimeout(timers.get(req));
    if (req.complete || req.destroyed) return;
    const { socket } = req;
    const timer = setTimeout(() => {
      if (req.complete || socket.destroyed) return;
      const error = Object.assign(new Error('Request timeout'), {
        code: 'ERR_HTTP_REQUEST_TIMEOUT',
      });
      server.emit('clientError', error, socket);
    }, time);
    timer.unref();
    timers.set(req, timer);
  }
}

/** Lets a request take as long as the server allows, until its response has been sent. */
export function extendRequestTime(req: IncomingMessage): void {
  clearTimeout(timers.get(req));
}

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

/** An instance as an application would be. The proxies differ in whether they strip the prefix. */
export async function startEchoUpstream(): Promise<{ port: number; stop(): void }> {
  const server = createServer((req, res) => {
    if (req.url?.endsWith('/page')) {
      res.setHeader('content-type', 'text/html').end('<!doctype html><title>page</title><body>');
    } else if (req.url?.endsWith('/events')) {
      res.setHeader('content-type', 'text/event-stream');
      for (let event = 0; event < 3; event++) res.write(`data: ${event}\n\n`);
      const timer = setInterval(() => res.write(': still here\n\n'), 500);
      res.on('close', () => clearInterval(timer));
    } else if (req.url?.endsWith('/early413')) {
      // The body is not read before the response.
      res.writeHead(413, { connection: 'close' }).end('too big');
    } else {
      const hash = createHash('sha256');
      let bytes = 0;
      req.on('data', (data: Buffer) => {
        bytes += data.length;
        hash.update(data);
      });
      req.on('end', () => {
        res.setHeader('content-type', 'application/json');
        res.end(
          JSON.stringify({
            method: req.method,
            bytes,
            sha: hash.digest('hex'),
            headers: req.headers,
          }),
        );
      });
    }
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: true });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.1.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      for (const socket of sockets.clients) socket.terminate();
      server.close();
      server.closeAllConnections();
    },
  };
}

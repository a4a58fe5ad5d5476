/**
 * A plain http-proxy with keep-alive, without limits or forwarding headers. The routes are in a
 * Map.
 */
import { Agent, createServer } from 'node:http';
import httpProxy from 'http-proxy';
import { idOf, readArguments } from './targets.ts';

const { port, targets } = readArguments();
const agent = new Agent({ keepAlive: true });
const proxy = httpProxy.createProxyServer({ agent });
const tunnels = httpProxy.createProxyServer({ ws: true });
proxy.on('error', (_error, _req, res) => res.destroy());
tunnels.on('error', (_error, _req, res) => res.destroy());

createServer((req, res) => {
  const target = targets.get(idOf(req.url ?? ''));
  if (target) proxy.web(req, res, { target });
  else res.writeHead(404).end();
})
  .on('upgrade', (req, socket, head) => {
    const target = targets.get(idOf(req.url ?? ''));
    if (target) tunnels.ws(req, socket, head, { target });
    else socket.destroy();
  })
  .listen(port, '127.0.0.1');

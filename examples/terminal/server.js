import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import pty from '@lydell/node-pty';
import { WebSocketServer } from 'ws';

const FILES = {
  '/': ['index.html', 'text/html'],
  '/xterm.js': ['node_modules/@xterm/xterm/lib/xterm.js', 'text/javascript'],
  '/xterm.css': ['node_modules/@xterm/xterm/css/xterm.css', 'text/css'],
};

const server = createServer(async (req, res) => {
  const [file, type] = FILES[new URL(req.url, 'http://localhost').pathname] ?? [];
  if (!file) return res.writeHead(404).end();
  res.setHeader('content-type', type).end(await readFile(new URL(file, import.meta.url)));
});

/** Each connection has a shell of its own. */
new WebSocketServer({ server }).on('connection', (socket) => {
  const shell = pty.spawn('bash', [], { name: 'xterm-256color', cols: 80, rows: 24 });
  shell.onData((text) => socket.send(text));
  shell.onExit(() => socket.close());
  socket.on('message', (data) => shell.write(String(data)));
  socket.on('close', () => shell.kill());
});

server.listen(3000);

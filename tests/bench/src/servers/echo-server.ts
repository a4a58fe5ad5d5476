/** An upstream that accepts upgrades and echoes all bytes without parsing frames. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const [, , port, host] = process.argv;
createServer()
  .on('upgrade', (req, socket: Socket, head: Buffer) => {
    const key = `${req.headers['sec-websocket-key']}${GUID}`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.setNoDelay(true);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    if (head.length > 0) socket.write(head);
    socket.on('data', (data) => socket.write(data)).on('error', () => socket.destroy());
    // Sockets of node:http allow half-open connections.
    socket.on('end', () => socket.end());
  })
  .listen(Number(port), host);

/**
 * A WebSocket server for the Ephemera image, which contains Node.js. It echoes short frames. RFC
 * 6455: frames of a client are masked, frames of a server are not.
 */
const SERVER = `
const { createHash } = require('node:crypto');
const server = require('node:http').createServer((request, response) => response.end('echo'));
server.on('upgrade', (request, socket) => {
  const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
      'Sec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n',
  );
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('data', (frame) => {
    const length = frame[1] & 127;
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]);
    socket.write(Buffer.concat([Buffer.from([frame[0], length]), text]));
  });
});
server.listen(8080);
process.on('SIGTERM', () => process.exit());
`;

/** The template `echo`, in a form to append to ephemera.yml. */
export function echoTemplate(image: string): string {
  const template = {
    image,
    port: 8080,
    limits: { memory: '128m', cpus: 0.5 },
    command: ['node', '--eval', SERVER],
  };
  return `  echo: ${JSON.stringify(template)}\n`;
}

/** An upstream that reads bodies and responds with the number of bytes. */
import { createServer } from 'node:http';

const [, , port, host] = process.argv;
createServer((req, res) => {
  let received = 0;
  req.on('data', (chunk: Buffer) => (received += chunk.length));
  req.once('end', () => {
    const body = String(received);
    res.writeHead(200, { 'content-length': body.length }).end(body);
  });
}).listen(Number(port), host);

/**
 * Answers every request on all addresses of its network, by TCP and UDP: `node responder.ts PORT`.
 * With `dns`, it also serves DNS on port 53 and answers every query with NXDOMAIN. It prints each
 * queried name on stdout.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { networkInterfaces } from 'node:os';

const [port = '8000', dns] = process.argv.slice(2);

createServer((_, res) => res.end('reached')).listen(Number(port), '::');

// Replies come from the address that received the datagram. The last socket receives broadcasts.
const own = Object.values(networkInterfaces()).flatMap((item) => item ?? []);
for (const address of [...own.map((item) => item.address), '0.0.0.0']) {
  if (address.includes(':')) continue;
  const echo = createSocket({ type: 'udp4', reuseAddr: true });
  echo.on('message', (_, from) => echo.send('reached', from.port, from.address));
  echo.bind(Number(port), address);
}

if (dns === 'dns') {
  const resolver = createSocket('udp4');
  resolver.on('message', (question, from) => {
    if (question.length < 12) {
      resolver.send('reached', from.port, from.address);
      return;
    }
    process.stdout.write(`${nameIn(question)}\n`);
    const answer = Buffer.from(question);
    answer.writeUInt16BE(0x81_83, 2); // a response with NXDOMAIN
    resolver.send(answer, from.port, from.address);
  });
  resolver.bind(53, '0.0.0.0');
}
process.stdout.write('listening\n');

function nameIn(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 12, length; (length = question[at] ?? 0) > 0; at += length + 1) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length));
  }
  return labels.join('.');
}

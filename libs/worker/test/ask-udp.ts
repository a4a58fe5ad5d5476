/**
 * Sends UDP datagrams to addresses, which may be broadcast addresses: `node ask-udp.ts
 * NAME=ADDRESS:PORT...`. Prints `:NAME:` for each that replies within two seconds.
 */
import { createSocket } from 'node:dgram';

for (const target of process.argv.slice(2)) {
  const [, name, address, port] = /^(.*)=(.*):(\d+)$/.exec(target) ?? [];
  const socket = createSocket('udp4');
  socket.once('message', () => console.log(`:${name}:`));
  // An unreachable network: the target does not reply.
  socket.on('error', () => undefined);
  socket.bind(0, () => {
    socket.setBroadcast(true);
    const ask = () => socket.send('hello', Number(port), address, () => undefined);
    ask();
    setInterval(ask, 500);
  });
}
setTimeout(() => process.exit(0), 2_000);

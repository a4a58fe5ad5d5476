/**
 * Sends a UDP datagram to an address, which may be a broadcast address: `node ask-udp.ts ADDRESS
 * PORT`. Fails without a reply.
 */
import { createSocket } from 'node:dgram';

const [address = '', port = ''] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', () => process.exit(0));
socket.bind(0, () => {
  socket.setBroadcast(true);
  const ask = () => socket.send('hello', Number(port), address, () => undefined);
  ask();
  setInterval(ask, 500);
});
setTimeout(() => process.exit(1), 3_000);

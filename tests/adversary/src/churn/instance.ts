import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';

/** A request that reached another instance than the requested one. */
export interface Stray {
  readonly instance: string;
  readonly meantFor: string;
}

/** A server at an address in place of a container. It responds with its own id. */
export interface Listening {
  readonly id: string;
  /** Ends like a killed container: it stops listening and closes every connection. */
  kill(): void;
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const PREFIX = /\r\nx-forwarded-prefix: \/demo\/([a-z0-9]+)\r\n/i;

/**
 * @param pauseOf delay of a response, ms; 0: none
 * @param onRequest called for every received request
 */
export async function startInstance(
  where: { id: string; address: string; port: number },
  pauseOf: () => number,
  onRequest: (stray: Stray | undefined) => void,
): Promise<Listening> {
  const { id, address, port } = where;
  const sockets = new Set<Socket>();
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${id.length}\r\n\r\n${id}`;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let kept = '';
    socket.on('data', (data) => {
      kept += data.toString('latin1');
      for (let end = kept.indexOf('\r\n\r\n'); end !== -1; end = kept.indexOf('\r\n\r\n')) {
        const head = kept.slice(0, end + 4);
        kept = kept.slice(end + 4);
        const meantFor = PREFIX.exec(head)?.[1] ?? 'nobody';
        onRequest(meantFor === id ? undefined : { instance: id, meantFor });
        const bytes = switching(head, id) ?? answer;
        const pause = pauseOf();
        if (pause === 0) socket.write(bytes);
        else setTimeout(() => socket.writable && socket.write(bytes), pause);
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port }, resolve);
  });
  let killed = 0;
  return {
    id,
    kill() {
      server.close();
      for (const socket of sockets) {
        // Containers close their connections either in order or with a reset.
        if (killed++ % 2 === 0) socket.resetAndDestroy();
        else socket.destroy();
      }
    },
  };
}

/** Returns the response to a WebSocket handshake, with the id; undefined for other requests. */
function switching(head: string, id: string): string | undefined {
  const key = /\r\nsec-websocket-key: (\S+)\r\n/i.exec(head)?.[1];
  if (key === undefined) return undefined;
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  return (
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\nX-Instance: ${id}\r\n\r\n`
  );
}

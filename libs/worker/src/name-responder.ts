import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** A running responder. */
export interface NameResponder {
  /** The port of the address, by UDP and by TCP. */
  readonly port: number;
  close(): void;
}

/**
 * Answers DNS queries on a free port of an address (RFC 1035): `localhost` has the address
 * 127.0.0.1 (RFC 6761, section 6.3), and no other name exists. Instances without egress thus learn
 * at once that a name has no address. REFUSED would make the resolver of musl wait.
 *
 * A helper container runs the source of this file alone, so it imports from Node only.
 *
 * @throws Error if the address is not on this machine
 */
export async function respondToNames(address: string): Promise<NameResponder> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await listen(address);
    } catch (error) {
      // The port that was free for UDP is not free for TCP.
      if ((error as { code?: unknown }).code !== 'EADDRINUSE' || attempt === 10) throw error;
    }
  }
}

/** Clients share one port, so none may keep a connection for longer, in milliseconds. */
const CONNECTION_MS = 2_000;
const MAX_CONNECTIONS = 64;
/** A resolver sends the queries for A and AAAA on one connection. Unread replies fill the memory. */
const MAX_QUERIES_PER_CONNECTION = 8;

async function listen(address: string): Promise<NameResponder> {
  const socket = createSocket('udp4');
  try {
    socket.bind(0, address);
    await once(socket, 'listening');
  } catch (error) {
    socket.close();
    throw error;
  }
  const { port } = socket.address();
  socket.on('message', (query, { port: to, address: client }) => {
    const reply = replyTo(query);
    // A datagram may have the source port 0, to which nothing can be sent. The instance may be gone.
    if (reply && to > 0) socket.send(reply, to, client, () => undefined);
  });
  socket.on('error', () => undefined);

  const server = createServer((connection) => {
    const timer = setTimeout(() => connection.destroy(), CONNECTION_MS);
    connection.once('close', () => clearTimeout(timer)).on('error', () => undefined);
    let received = Buffer.alloc(0);
    let left = MAX_QUERIES_PER_CONNECTION;
    connection.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      // Over TCP, a message follows its length (RFC 1035, section 4.2.2).
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        if (left === 0) return void connection.destroy();
        left -= 1;
        const end = 2 + received.readUInt16BE(0);
        const reply = replyTo(received.subarray(2, end));
        received = received.subarray(end);
        if (!reply) return void connection.destroy();
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        connection.write(Buffer.concat([length, reply]));
      }
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  try {
    server.listen(port, address);
    await once(server, 'listening');
    // A failed accept, such as too many open files.
    server.on('error', () => undefined);
  } catch (error) {
    socket.close();
    throw error;
  }
  return {
    port,
    close() {
      socket.close();
      server.close();
    },
  };
}

const TYPE_A = 1;
const NO_ERROR = 0;
const NAME_ERROR = 3;
/** The name of the question, class IN, 60 s, 127.0.0.1. */
const LOOPBACK = Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);

/** The reply to a query. Undefined for a message that is no query with one question. */
function replyTo(query: Buffer): Buffer | undefined {
  if (query.length < 12 || (query[2] ?? 0) & 0x80 || query.readUInt16BE(4) !== 1) return undefined;
  let at = 12;
  const labels: string[] = [];
  for (let length; (length = query[at]) !== 0; at += length + 1) {
    if (length === undefined || length > 63) return undefined;
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
  }
  const end = at + 5;
  if (end > query.length) return undefined;
  const isLoopback = labels.at(-1)?.toLowerCase() === 'localhost';
  const isAnswered = isLoopback && query.readUInt16BE(at + 1) === TYPE_A;
  const reply = Buffer.from(query.subarray(0, end));
  // A response, with the opcode and the flag RD of the query, and with RA.
  reply[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  reply[3] = 0x80 | (isLoopback ? NO_ERROR : NAME_ERROR);
  reply.writeUInt16BE(isAnswered ? 1 : 0, 6);
  // Without the other sections of the query, such as the options of EDNS.
  reply.fill(0, 8, 12);
  return isAnswered ? Buffer.concat([reply, LOOPBACK]) : reply;
}

import { Agent as HttpAgent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { UpstreamPool } from './upstream/upstream-pool.ts';
import { SharedReadBuffer } from './upstream/shared-read-buffer.ts';

/** Has http-proxy take its one socket from the generation's agent, half-open sockets allowed. */
export class TunnelAgent extends HttpAgent {
  /** Where the bytes of the instance arrive; as long as nobody else takes them, the socket does. */
  readonly readBuffer = new SharedReadBuffer();
  readonly #agent: UpstreamPool;
  readonly #port: number;

  constructor(agent: UpstreamPool, port: number) {
    super({ keepAlive: false });
    this.#agent = agent;
    this.#port = port;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#agent.open(this.#port, this.readBuffer, true).then(
      (socket) => {
        this.#agent.hold(socket);
        // http-proxy sets both only behind the handshake. What is added to a socket so late makes
        // it another kind of object to V8, one more than it compiles a call for.
        socket.setTimeout(0).setKeepAlive(true);
        this.readBuffer.onChunk = (data) => socket.push(Buffer.from(data));
        callback(null, socket);
      },
      // The callback wants a socket even where there is none.
      (fault: unknown) => callback(fault as Error, undefined as unknown as Duplex),
    );
  }
}

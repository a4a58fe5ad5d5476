import { Agent as HttpAgent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Agent } from './upstream/agent.ts';
import { Inlet } from './upstream/inlet.ts';

/** Has http-proxy take its one socket from the generation's agent, half-open sockets allowed. */
export class TunnelAgent extends HttpAgent {
  /** Where the bytes of the instance arrive; as long as nobody else takes them, the socket does. */
  readonly inlet = new Inlet();
  readonly #agent: Agent;
  readonly #port: number;

  constructor(agent: Agent, port: number) {
    super({ keepAlive: false });
    this.#agent = agent;
    this.#port = port;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#agent.open(this.#port, this.inlet, true).then(
      (socket) => {
        this.#agent.hold(socket);
        // http-proxy sets both only behind the handshake. What is added to a socket so late makes
        // it another kind of object to V8, one more than it compiles a call for.
        socket.setTimeout(0).setKeepAlive(true);
        this.inlet.take = (data) => socket.push(Buffer.from(data));
        callback(null, socket);
      },
      // The callback wants a socket even where there is none.
      (fault: unknown) => callback(fault as Error, undefined as unknown as Duplex),
    );
  }
}

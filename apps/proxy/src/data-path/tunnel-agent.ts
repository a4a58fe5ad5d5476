import { Agent as HttpAgent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Agent } from './upstream/agent.ts';

/** Has http-proxy take its one socket from the generation's agent, half-open sockets allowed. */
export class TunnelAgent extends HttpAgent {
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
    this.#agent.open(this.#port, true).then(
      (socket) => {
        this.#agent.hold(socket);
        callback(null, socket);
      },
      // The callback wants a socket even where there is none.
      (fault: unknown) => callback(fault as Error, undefined as unknown as Duplex),
    );
  }
}

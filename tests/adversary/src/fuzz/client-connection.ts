import { connect, type Socket } from 'node:net';
import { statusesIn } from './exchange.ts';

/** A client connection that sends the bytes of one case, in one or two parts. */
export class ClientConnection {
  readonly #socket: Socket;
  readonly #pieces: readonly string[];
  readonly #answers: number;
  readonly #opened = Promise.withResolvers<undefined>();
  readonly #answered = Promise.withResolvers<undefined>();
  received = '';
  closed = false;

  /** @param answers how many final responses to wait for */
  constructor(port: number, pieces: readonly string[], answers: number) {
    this.#pieces = pieces;
    this.#answers = answers;
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('connect', () => {
      this.#send(0);
      this.#opened.resolve(undefined);
    });
    this.#socket.on('data', (data) => {
      this.received += data.toString('latin1');
      if (this.isAnswered) this.#answered.resolve(undefined);
    });
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.closed = true;
      this.#opened.resolve(undefined);
      this.#answered.resolve(undefined);
    });
  }

  get isAnswered(): boolean {
    return statusesIn(this.received).length >= this.#answers;
  }

  /** Resolves when the first part was written, or the connection has failed. */
  sent(): Promise<undefined> {
    return this.#opened.promise;
  }

  sendRest(): void {
    if (!this.closed) this.#send(1);
  }

  /**
   * Resolves when all responses are complete, the connection is closed, or the timeout has passed.
   */
  async answered(timeoutMs: number): Promise<void> {
    if (this.isAnswered || this.closed) return;
    const timer = setTimeout(() => this.#answered.resolve(undefined), timeoutMs);
    await this.#answered.promise;
    clearTimeout(timer);
  }

  end(): void {
    this.#socket.destroy();
  }

  #send(piece: number): void {
    const bytes = this.#pieces[piece];
    if (bytes !== undefined && bytes !== '') this.#socket.write(bytes, 'latin1');
  }
}

import type { IncomingMessage } from 'node:http';
import type { Answer } from './answer.ts';
import type { DataPathContext } from './context.ts';
import { hasBody, RequestBody } from './request-body.ts';
import type { OpenRoute } from './settle-route.ts';
import { type Arrival, passageOf, upstreamHead } from './upstream-head.ts';
import type { Agent } from './upstream/agent.ts';
import type { Connection, Loss, Requester } from './upstream/connection.ts';
import type { ResponseHead } from './upstream/response-head.ts';

/** How long an instance may keep a client waiting for `100 Continue`; many know nothing of it. */
const CONTINUE_AFTER = 1_000;

/** Where a request is sent: one port of one generation. */
export interface Destination extends OpenRoute {
  readonly agent: Agent;
  readonly port: number;
}

/** The exchange that a sending belongs to. */
export interface Sender {
  readonly context: DataPathContext;
  readonly req: IncomingMessage;
  readonly arrival: Arrival;
  readonly answer: Answer;
  /** The answer has been passed on in full. */
  onAnswered(): void;
  /** There will be no answer, or no more of it; `untouched` where no byte of one had come. */
  onLost(loss: Loss, untouched: boolean): void;
}

/** One sending of a request on one connection, and the way back of its answer. */
export class Sending implements Requester {
  readonly destination: Destination;
  readonly isOnReused: boolean;
  readonly #sender: Sender;
  readonly #connection: Connection;
  #body: RequestBody | undefined;
  #continueTimer: NodeJS.Timeout | undefined;
  /** The client is waited for: whatever else is in hand meanwhile is passed on behind it. */
  #isBlocked = false;
  #isOver = false;

  constructor(sender: Sender, destination: Destination, connection: Connection) {
    this.destination = destination;
    this.isOnReused = connection.isReused;
    this.#sender = sender;
    this.#connection = connection;
  }

  /** Whether it is the client that keeps the instance waiting for the rest of a body. */
  get awaitsClient(): boolean {
    return this.#body?.awaitsClient === true;
  }

  start(): void {
    const { arrival, context, req } = this.#sender;
    const { route, port } = this.destination;
    const { head, method } = arrival;
    this.#connection.send(upstreamHead(arrival, route, port), method, this);
    if (!hasBody(head)) {
      this.#connection.endRequest();
      return;
    }
    this.#body = new RequestBody(req, this.#connection, context.turns, arrival);
    if (head.expectsContinue) {
      this.#continueTimer = setTimeout(() => this.#sender.answer.letContinue(), CONTINUE_AFTER);
    }
  }

  /** The client has gone: the instance is to know at once. */
  abandon(): void {
    clearTimeout(this.#continueTimer);
    this.#body?.stop();
    this.#connection.abandon();
  }

  onHead(head: ResponseHead): void {
    const { answer, arrival, context } = this.#sender;
    if (head.status === 100) {
      if (arrival.head.expectsContinue) answer.letContinue();
      return;
    }
    const { route, port } = this.destination;
    const passage = passageOf(arrival, route, port);
    if (head.status < 200) {
      answer.inform(head, passage);
      return;
    }
    clearTimeout(this.#continueTimer);
    answer.begin(head, passage, context.draining);
  }

  onBody(data: Buffer, last: boolean): void {
    const { answer, context } = this.#sender;
    if (answer.write(data, last)) return;
    if (this.#isBlocked) return;
    this.#isBlocked = true;
    this.#connection.pause();
    answer.whenDrained(context.clientTimeout, () => {
      this.#isBlocked = false;
      // The connection may serve another request by then.
      if (!this.#isOver) this.#connection.resume();
    });
  }

  onEnd(trailers: readonly string[]): void {
    this.#isOver = true;
    this.#body?.stop();
    this.#sender.answer.end(trailers, this.#sender.context.clientTimeout);
    this.#sender.onAnswered();
  }

  onArrived(): void {
    this.#sender.answer.flush();
  }

  onDrain(): void {
    this.#body?.onDrain();
  }

  onLost(loss: Loss, answered: boolean): void {
    clearTimeout(this.#continueTimer);
    this.#isOver = true;
    const { awaitsClient } = this;
    this.#body?.stop();
    this.#sender.onLost(loss === 'silent' && awaitsClient ? 'starved' : loss, !answered);
  }
}

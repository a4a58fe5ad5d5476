import type { IncomingMessage } from 'node:http';
import type { ResponseWriter } from './response-writer.ts';
import type { DataPathContext } from './context.ts';
import { hasBody, RequestBody } from './request-body.ts';
import type { OpenRoute } from './resolve-route.ts';
import { type InboundRequest, rewriteContextOf, upstreamHead } from './inbound-request.ts';
import type { UpstreamPool } from './upstream/upstream-pool.ts';
import type { Connection, UpstreamError, ResponseListener } from './upstream/connection.ts';
import type { ResponseHead } from './upstream/response-head.ts';

/** How long an instance may keep a client waiting for `100 Continue`; many know nothing of it. */
const CONTINUE_TIMEOUT_MS = 1_000;

/** Where a request is sent: one port of one generation. */
export interface Destination extends OpenRoute {
  readonly pool: UpstreamPool;
  readonly port: number;
}

/** The exchange that a sending belongs to. */
export interface AttemptOwner {
  readonly context: DataPathContext;
  readonly req: IncomingMessage;
  readonly inbound: InboundRequest;
  readonly writer: ResponseWriter;
  /** The answer has been passed on in full. */
  onAnswered(): void;
  /** There will be no answer, or no more of it; `untouched` where no byte of one had come. */
  onLost(error: UpstreamError, untouched: boolean): void;
}

/** One sending of a request on one connection, and the way back of its answer. */
export class UpstreamAttempt implements ResponseListener {
  readonly destination: Destination;
  readonly isOnReused: boolean;
  readonly #owner: AttemptOwner;
  readonly #connection: Connection;
  #body: RequestBody | undefined;
  #continueTimer: NodeJS.Timeout | undefined;
  /** The client is waited for: whatever else is in hand meanwhile is passed on behind it. */
  #isBlocked = false;
  #isOver = false;

  constructor(owner: AttemptOwner, destination: Destination, connection: Connection) {
    this.destination = destination;
    this.isOnReused = connection.isReused;
    this.#owner = owner;
    this.#connection = connection;
  }

  /** Whether it is the client that keeps the instance waiting for the rest of a body. */
  get awaitsClient(): boolean {
    return this.#body?.awaitsClient === true;
  }

  start(): void {
    const { inbound, context, req } = this.#owner;
    const { route, port } = this.destination;
    const { head, method } = inbound;
    this.#connection.send(upstreamHead(inbound, route, port), method, this);
    if (!hasBody(head)) {
      this.#connection.endRequest();
      return;
    }
    this.#body = new RequestBody(req, this.#connection, context.uploadScheduler, inbound);
    if (head.expectsContinue) {
      this.#continueTimer = setTimeout(
        () => this.#owner.writer.sendContinue(),
        CONTINUE_TIMEOUT_MS,
      );
    }
  }

  /** The client has gone: the instance is to know at once. */
  abandon(): void {
    clearTimeout(this.#continueTimer);
    this.#body?.stop();
    this.#connection.abandon();
  }

  onHead(head: ResponseHead): void {
    const { writer, inbound, context } = this.#owner;
    if (head.status === 100) {
      if (inbound.head.expectsContinue) writer.sendContinue();
      return;
    }
    const { route, port } = this.destination;
    const rewrite = rewriteContextOf(inbound, route, port);
    if (head.status < 200) {
      writer.sendInformational(head, rewrite);
      return;
    }
    clearTimeout(this.#continueTimer);
    writer.begin(head, rewrite, context.draining);
  }

  onBody(data: Buffer, last: boolean): void {
    const { writer, context } = this.#owner;
    if (writer.write(data, last)) return;
    if (this.#isBlocked) return;
    this.#isBlocked = true;
    this.#connection.pause();
    writer.whenDrained(context.clientTimeout, () => {
      this.#isBlocked = false;
      // The connection may serve another request by then.
      if (!this.#isOver) this.#connection.resume();
    });
  }

  onEnd(trailers: readonly string[]): void {
    this.#isOver = true;
    this.#body?.stop();
    this.#owner.writer.end(trailers, this.#owner.context.clientTimeout);
    this.#owner.onAnswered();
  }

  onArrived(): void {
    this.#owner.writer.flush();
  }

  onDrain(): void {
    this.#body?.onDrain();
  }

  onLost(error: UpstreamError, answered: boolean): void {
    clearTimeout(this.#continueTimer);
    this.#isOver = true;
    const { awaitsClient } = this;
    this.#body?.stop();
    this.#owner.onLost(error === 'silent' && awaitsClient ? 'starved' : error, !answered);
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Failure, ApiError, type Route } from '@ephemera/domain';
import { ResponseWriter } from './response-writer.ts';
import { choosePort } from './choose-port.ts';
import type { DataPathContext } from './context.ts';
import { authorizeAccess } from './authorize-access.ts';
import { refuse, REFUSALS } from './refusal.ts';
import { hasBody } from './request-body.ts';
import { type Destination, type AttemptOwner, UpstreamAttempt } from './upstream-attempt.ts';
import { logUpstreamFailure } from './log-upstream-failure.ts';
import { lookUpRoute, type OpenRoute, resolveRoute } from './resolve-route.ts';
import type { InboundRequest } from './inbound-request.ts';
import { watchRequest } from './watch-use.ts';
import { UpstreamConnectError } from './upstream/upstream-connect-error.ts';
import type { Connection, UpstreamError } from './upstream/connection.ts';

/** How many routes may turn out to be superseded on the way before a request is given up. */
const MAX_SUPERSEDED = 3;
/** How long the rest of a body is read off behind an answer, so that the answer is not lost. */
const LINGER_MS = 5_000;

/** One request of a client and its one answer: finds the instance, sends, and sends once more. */
export class ProxiedRequest implements AttemptOwner {
  readonly context: DataPathContext;
  readonly req: IncomingMessage;
  inbound: InboundRequest;
  readonly writer: ResponseWriter;
  readonly #res: ServerResponse;
  #attempt: UpstreamAttempt | undefined;
  #abortOnClose: AbortController | undefined;
  #superseded = 0;
  #retried = false;
  #watched = false;
  #done = false;

  constructor(
    context: DataPathContext,
    req: IncomingMessage,
    res: ServerResponse,
    inbound: InboundRequest,
  ) {
    this.context = context;
    this.req = req;
    this.inbound = inbound;
    this.writer = new ResponseWriter(req, res);
    this.#res = res;
  }

  start(): void {
    this.context.inFlight++;
    this.#res.on('close', () => this.#onClosed());
    const cached = this.context.routes.peek(this.inbound.address.id);
    if (cached?.route.state === 'ready' && cached.route.access === undefined) {
      this.#forward({ route: cached.route, deadline: cached.deadline });
    } else {
      void this.#lookUp();
    }
  }

  onAnswered(): void {
    this.#done = true;
    this.#attempt = undefined;
    if (!this.req.complete) this.#linger();
  }

  onLost(error: UpstreamError, untouched: boolean): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    const { id } = this.inbound.address;
    if (this.writer.begun) {
      this.#done = true;
      this.writer.abort();
    } else if (error === 'starved') {
      this.#done = true;
      refuse(this.req, this.#res, REFUSALS.timeout);
    } else if (error === 'silent') {
      this.#fail({ kind: 'upstream_timeout', id });
    } else if (error === 'dropped') {
      void this.#failAsRouted();
    } else if (attempt?.isOnReused === true && untouched && this.#mayRetry()) {
      void this.#connect(attempt.destination);
    } else {
      this.#fail({ kind: 'upstream_unreachable', id });
    }
  }

  async #lookUp(): Promise<void> {
    const { routes, startWait, waitingPage } = this.context;
    const { id } = this.inbound.address;
    this.#abortOnClose ??= new AbortController();
    const resolution = await resolveRoute(id, {
      routes,
      isSuperseded: this.#superseded > 0,
      startWait,
      signal: this.#abortOnClose.signal,
      guard: (route) => this.#guard(route),
      respondInstead: () => waitingPage?.(this.req, this.#res, id) === true,
    });
    if (this.#done) return;
    if (resolution === undefined) this.#done = true;
    else if (resolution.kind === 'open') this.#forward(resolution);
    else this.#fail(resolution);
  }

  /** What a guarded instance asks of visitors; it is asked once more where a route was superseded. */
  #guard(route: Route | undefined): Failure | boolean {
    const passed = authorizeAccess(this.req, this.inbound, route, this.context, this.#res);
    if (passed === undefined) return true;
    if ('kind' in passed) return passed;
    this.inbound = passed;
    return false;
  }

  #forward({ route, deadline }: OpenRoute): void {
    const { id, port: wanted } = this.inbound.address;
    const port = choosePort(route, wanted);
    if (port === undefined) {
      this.#fail({ kind: 'not_found', what: 'such port' });
      return;
    }
    const pool = this.context.pools.of(id, route, deadline);
    const destination = { route, deadline, pool, port };
    const connection = pool.acquire(port);
    if (connection) this.#send(destination, connection);
    else void this.#connect(destination);
  }

  async #connect(destination: Destination): Promise<void> {
    const { pool, port } = destination;
    try {
      const connection = await pool.connect(port);
      if (this.#done) pool.release(connection);
      else this.#send(destination, connection);
    } catch (error) {
      if (this.#done) return;
      const isSuperseded = error instanceof UpstreamConnectError && error.kind === 'superseded';
      if (error instanceof ApiError) this.#fail(error.failure);
      else if (isSuperseded && ++this.#superseded < MAX_SUPERSEDED) void this.#lookUp();
      else this.#fail({ kind: 'upstream_unreachable', id: pool.id });
    }
  }

  #send(destination: Destination, connection: Connection): void {
    this.#attempt = new UpstreamAttempt(this, destination, connection);
    this.#attempt.start();
    this.#watchUse(destination);
  }

  #watchUse({ route, pool }: Destination): void {
    const { activity } = this.context;
    if (activity === undefined || route.activity === undefined || this.#watched) return;
    this.#watched = true;
    watchRequest(activity, pool.id, route, this.req, this.#res);
  }

  /** An instance may close an idle connection just as it is used again: then, and once. */
  #mayRetry(): boolean {
    const { method, head } = this.inbound;
    const mayRetry = !this.#retried && (method === 'GET' || method === 'HEAD') && !hasBody(head);
    this.#retried = true;
    return mayRetry;
  }

  /** The generation ended under the request: what the route says now tells why. */
  async #failAsRouted(): Promise<void> {
    const { routes } = this.context;
    const { id } = this.inbound.address;
    const found = await lookUpRoute(routes, id);
    if (this.#done) return;
    this.#fail(found.kind === 'open' ? { kind: 'upstream_unreachable', id } : found);
  }

  #fail(failure: Failure): void {
    this.#done = true;
    // Whether a body follows that was not asked for, nobody can tell.
    const { expectsContinue } = this.inbound.head;
    const isOpen = !this.req.complete && expectsContinue && !this.writer.continued;
    if (this.context.draining || isOpen) this.#res.shouldKeepAlive = false;
    // Cut in the middle of sending, a client would never see the answer.
    else if (!this.req.complete) this.#linger();
    logUpstreamFailure(this.context.logger, failure);
    this.context.sendFailure(this.req, this.#res, failure);
  }

  #linger(): void {
    this.req.resume();
    const timer = setTimeout(() => this.req.socket.destroy(), LINGER_MS);
    this.req.once('close', () => clearTimeout(timer));
  }

  #onClosed(): void {
    this.context.inFlight--;
    this.#done = true;
    this.#abortOnClose?.abort();
    this.#attempt?.abandon();
    this.#attempt = undefined;
  }
}

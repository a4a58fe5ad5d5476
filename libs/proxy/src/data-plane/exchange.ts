import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Failure, FailureError, type Route } from '@ephemera/domain';
import { Answer } from './answer.ts';
import { choosePort } from './choose-port.ts';
import type { DataPathContext } from './context.ts';
import { passGuard } from './pass-guard.ts';
import { refuse, REFUSALS } from './refusal.ts';
import { hasBody } from './request-body.ts';
import { type Destination, type Sender, Sending } from './sending.ts';
import { logFault } from './log-fault.ts';
import { lookUpRoute, type OpenRoute, settleRoute } from './settle-route.ts';
import type { Arrival } from './upstream-head.ts';
import { watchRequest } from './watch-use.ts';
import { ConnectFault } from './upstream/connect-fault.ts';
import type { Connection, Loss } from './upstream/connection.ts';

/** How many routes may turn out to be superseded on the way before a request is given up. */
const MAX_SUPERSEDED = 3;
/** How long the rest of a body is read off behind an answer, so that the answer is not lost. */
const LINGER = 5_000;

/** One request of a client and its one answer: finds the instance, sends, and sends once more. */
export class Exchange implements Sender {
  readonly context: DataPathContext;
  readonly req: IncomingMessage;
  arrival: Arrival;
  readonly answer: Answer;
  readonly #res: ServerResponse;
  #sending: Sending | undefined;
  #gone: AbortController | undefined;
  #superseded = 0;
  #retried = false;
  #watched = false;
  #done = false;

  constructor(
    context: DataPathContext,
    req: IncomingMessage,
    res: ServerResponse,
    arrival: Arrival,
  ) {
    this.context = context;
    this.req = req;
    this.arrival = arrival;
    this.answer = new Answer(req, res);
    this.#res = res;
  }

  start(): void {
    this.context.inFlight++;
    this.#res.on('close', () => this.#onClosed());
    const cached = this.context.routes.peek(this.arrival.address.id);
    if (cached?.route.state === 'ready' && cached.route.access === undefined) {
      this.#forward({ route: cached.route, deadline: cached.deadline });
    } else {
      void this.#lookUp();
    }
  }

  onAnswered(): void {
    this.#done = true;
    this.#sending = undefined;
    if (!this.req.complete) this.#linger();
  }

  onLost(loss: Loss, untouched: boolean): void {
    const sending = this.#sending;
    this.#sending = undefined;
    const { id } = this.arrival.address;
    if (this.answer.begun) {
      this.#done = true;
      this.answer.abort();
    } else if (loss === 'starved') {
      this.#done = true;
      refuse(this.req, this.#res, REFUSALS.timeout);
    } else if (loss === 'silent') {
      this.#fail({ kind: 'upstream_timeout', id });
    } else if (loss === 'dropped') {
      void this.#failAsRouted();
    } else if (sending?.isOnReused === true && untouched && this.#mayRetry()) {
      void this.#connect(sending.destination);
    } else {
      this.#fail({ kind: 'upstream_unreachable', id });
    }
  }

  async #lookUp(): Promise<void> {
    const { routes, holdFor, waitingPage } = this.context;
    const { id } = this.arrival.address;
    this.#gone ??= new AbortController();
    const settled = await settleRoute(id, {
      routes,
      isSuperseded: this.#superseded > 0,
      holdFor,
      signal: this.#gone.signal,
      guard: (route) => this.#guard(route),
      instead: () => waitingPage?.(this.req, this.#res, id) === true,
    });
    if (this.#done) return;
    if (settled === undefined) this.#done = true;
    else if (settled.kind === 'open') this.#forward(settled);
    else this.#fail(settled);
  }

  /** What a guarded instance asks of visitors; it is asked once more where a route was superseded. */
  #guard(route: Route | undefined): Failure | boolean {
    const passed = passGuard(this.req, this.arrival, route, this.context, this.#res);
    if (passed === undefined) return true;
    if ('kind' in passed) return passed;
    this.arrival = passed;
    return false;
  }

  #forward({ route, deadline }: OpenRoute): void {
    const { id, port: wanted } = this.arrival.address;
    const port = choosePort(route, wanted);
    if (port === undefined) {
      this.#fail({ kind: 'not_found', what: 'such port' });
      return;
    }
    const agent = this.context.agents.of(id, route, deadline);
    const destination = { route, deadline, agent, port };
    const connection = agent.take(port);
    if (connection) this.#send(destination, connection);
    else void this.#connect(destination);
  }

  async #connect(destination: Destination): Promise<void> {
    const { agent, port } = destination;
    try {
      const connection = await agent.connect(port);
      if (this.#done) agent.onIdle(connection);
      else this.#send(destination, connection);
    } catch (fault) {
      if (this.#done) return;
      const isSuperseded = fault instanceof ConnectFault && fault.kind === 'superseded';
      if (fault instanceof FailureError) this.#fail(fault.failure);
      else if (isSuperseded && ++this.#superseded < MAX_SUPERSEDED) void this.#lookUp();
      else this.#fail({ kind: 'upstream_unreachable', id: agent.id });
    }
  }

  #send(destination: Destination, connection: Connection): void {
    this.#sending = new Sending(this, destination, connection);
    this.#sending.start();
    this.#watchUse(destination);
  }

  #watchUse({ route, agent }: Destination): void {
    const { activity } = this.context;
    if (activity === undefined || route.activity === undefined || this.#watched) return;
    this.#watched = true;
    watchRequest(activity, agent.id, route, this.req, this.#res);
  }

  /** An instance may close an idle connection just as it is used again: then, and once. */
  #mayRetry(): boolean {
    const { method, head } = this.arrival;
    const mayRetry = !this.#retried && (method === 'GET' || method === 'HEAD') && !hasBody(head);
    this.#retried = true;
    return mayRetry;
  }

  /** The generation ended under the request: what the route says now tells why. */
  async #failAsRouted(): Promise<void> {
    const { routes } = this.context;
    const { id } = this.arrival.address;
    const found = await lookUpRoute(routes, id);
    if (this.#done) return;
    this.#fail(found.kind === 'open' ? { kind: 'upstream_unreachable', id } : found);
  }

  #fail(failure: Failure): void {
    this.#done = true;
    // Whether a body follows that was not asked for, nobody can tell.
    const { expectsContinue } = this.arrival.head;
    const isOpen = !this.req.complete && expectsContinue && !this.answer.continued;
    if (this.context.draining || isOpen) this.#res.shouldKeepAlive = false;
    // Cut in the middle of sending, a client would never see the answer.
    else if (!this.req.complete) this.#linger();
    logFault(this.context.logger, failure);
    this.context.answerFailure(this.req, this.#res, failure);
  }

  #linger(): void {
    this.req.resume();
    const timer = setTimeout(() => this.req.socket.destroy(), LINGER);
    this.req.once('close', () => clearTimeout(timer));
  }

  #onClosed(): void {
    this.context.inFlight--;
    this.#done = true;
    this.#gone?.abort();
    this.#sending?.abandon();
    this.#sending = undefined;
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure, NameRoute, ReadyRoute, Route } from '@ephemera/domain';
import type { LingeringConnections } from '@ephemera/http';
import type { Logger } from '@ephemera/process';
import type { RouteCache } from '@ephemera/store';
import type { RequestMeasurement } from '../request-metrics.ts';
import type { Activity } from './activity.ts';
import { type AccessDecision, authorizeAccess } from './authorize-access.ts';
import { MAX_SUPERSEDED_ROUTES } from './limits.ts';
import { endOfName, isEnd, isOver, mayHaveMoved, resolveName } from './resolve-name.ts';
import { lookUpRoute, resolveRoute, type RouteResolution } from './resolve-route.ts';
import type { UploadScheduler } from './upload.ts';
import { type InboundRequest, outerPrefix } from './upstream-request.ts';
import {
  UnregisteredHostError,
  UpstreamError,
  type UpstreamErrorKind,
} from './upstream/connection.ts';
import { explainFailure, type UpstreamFailure } from './upstream/explain-failure.ts';
import type { UpstreamPool, UpstreamPools } from './upstream/pool.ts';

export interface UpstreamFailureFacts {
  readonly id: string;
  /** What happened, what was expected, and what to do. */
  readonly detail: string;
  /** Whether the instance caused it, and not its route, Redis or the proxy. */
  readonly isOfInstance: boolean;
}

/** What is known of a request or a WebSocket at its end. */
export interface RequestFacts extends RequestMeasurement {
  readonly id: string;
  readonly req: IncomingMessage;
  /** Bytes of the instance's body; of a WebSocket, all bytes to the client. */
  readonly bytes: number;
}

/** A span of a request. */
export interface RequestTrace {
  /** The request that the instance gets: its parent is the span. */
  readonly request: InboundRequest;
  end(facts: RequestFacts): void;
}

const OF_INSTANCE: ReadonlySet<UpstreamErrorKind> = new Set(['unreachable', 'broken', 'silent']);

/** What all requests of a data plane share; durations are milliseconds. */
export interface DataPlaneContext {
  readonly routes: Pick<
    RouteCache,
    | 'peek'
    | 'find'
    | 'waitFor'
    | 'confirm'
    | 'isRegistered'
    | 'onDrop'
    | 'peekName'
    | 'findName'
    | 'confirmName'
  >;
  /** First segment of the path form. */
  readonly prefix: string;
  readonly pools: UpstreamPools;
  readonly uploads: UploadScheduler;
  readonly lingering: LingeringConnections;
  /** How long a request waits for an instance that is starting. */
  readonly startWait: number;
  /** How long an instance may send nothing before its response head is complete. */
  readonly responseTimeout: number;
  /** How long a client may accept no byte of its response. */
  readonly clientTimeout: number;
  /** Bytes of a response head. */
  readonly maxResponseHead: number;
  /**
   * Sends the product's own response to a failure. `cause` says what the instance did. It is for the
   * owner of the instance and for the operator: a response to anybody else must not contain it.
   */
  readonly sendFailure: (
    req: IncomingMessage,
    res: ServerResponse,
    failure: Failure,
    cause?: UpstreamFailure,
  ) => void;
  /**
   * Starts the instance of a name again that has ended, for a visit. Undefined: no visit starts one.
   * @param isShared whether the pages of other instances have the same origin
   */
  readonly startOnVisit:
    | ((
        req: IncomingMessage,
        name: string,
        visit: { readonly generation: number; readonly isShared: boolean },
      ) => Promise<
        { readonly kind: 'changed' } | { readonly kind: 'refused'; readonly failure?: Failure }
      >)
    | undefined;
  /** May respond with a waiting page instead of letting a request wait; true if it did. */
  readonly waitingPage:
    ((req: IncomingMessage, res: ServerResponse, id: string) => boolean) | undefined;
  readonly logger: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Receives the use of instances that end when they are idle. */
  readonly activity: Activity | undefined;
  /** Receives each failed request: its reason, to be counted, and the facts. */
  readonly onUpstreamFailure:
    ((reason: UpstreamFailure['reason'], failure: UpstreamFailureFacts) => void) | undefined;
  /** Receives each request when its response has ended, and each WebSocket when it has closed. */
  readonly onRequestEnd: ((facts: RequestFacts) => void) | undefined;
  /** Starts a span for each request; undefined where no traces are recorded. */
  readonly traceRequest:
    ((req: IncomingMessage, request: InboundRequest) => RequestTrace) | undefined;
  /** Called for each request that is sent again. */
  readonly onRetry: (() => void) | undefined;
  readonly webSocketsPerInstance: number;
  /** Open WebSockets and accepted handshakes, by instance. */
  readonly webSockets: Map<string, number>;
  readonly onWebSocketRefused: (() => void) | undefined;
  /** Set when a drain begins: client connections close with their next response. */
  isDraining: boolean;
  /** HTTP requests whose response was not sent in full. */
  inFlight: number;
}

/** One port of one generation of an instance. */
export interface Upstream {
  readonly route: ReadyRoute;
  /** When the lease of the route ends, monotonic ms. */
  readonly deadline: number;
  readonly pool: UpstreamPool;
  readonly port: number;
}

/** Longest path in a log line, characters. */
const MAX_LOGGED_PATH = 200;

/**
 * One request for an instance, HTTP or WebSocket, on its way to an upstream:
 *
 *     resolve the route → authorize → choose the port → upstream pool → connect
 *
 * The rules for superseded routes, failures and their log are the same for both protocols. The
 * subclasses connect, and know how to respond.
 */
export abstract class RoutedRequest {
  readonly context: DataPlaneContext;
  readonly req: IncomingMessage;
  /** Without the parts that the instance must not see, once access is authorized. */
  request: InboundRequest;
  /** The request was answered, or its client has disconnected. */
  protected isDone = false;
  /** The upstream that was chosen last. */
  #upstream: Upstream | undefined;
  #superseded = 0;
  /** Whether it has started the instance of its name: at most once. */
  #hasVisited = false;
  #disconnected: AbortController | undefined;
  readonly #trace: RequestTrace | undefined;

  constructor(context: DataPlaneContext, req: IncomingMessage, request: InboundRequest) {
    this.context = context;
    this.req = req;
    this.#trace = context.traceRequest?.(req, request);
    this.request = this.#trace?.request ?? request;
  }

  /** The template of the instance; undefined before an upstream was chosen. */
  protected get template(): string | undefined {
    return this.#upstream?.route.template;
  }

  protected get id(): string {
    return this.request.address.id;
  }

  /** Sends the request to the upstream. Errors go to `onUpstreamError`. */
  protected abstract connect(upstream: Upstream): void;
  /** Sends the product's own response. */
  protected abstract respondWithFailure(failure: Failure, cause?: UpstreamFailure): void;
  /** The response object if pages and redirects may be sent on it; undefined for an upgrade. */
  protected abstract get pageResponse(): ServerResponse | undefined;

  /** Starts the request. A ready, open route in memory is used without an async hop. */
  protected route(): void {
    try {
      const { name } = this.request.address;
      if (name !== undefined) {
        const named = this.context.routes.peekName(name);
        if (named === undefined) {
          void this.#resolve();
          return;
        }
        this.#follow(named);
      }
      const cached = this.context.routes.peek(this.id);
      if (cached?.route.state === 'ready' && cached.route.access === undefined) {
        if (this.#redirectsToSlash(cached.route)) return;
        this.#toUpstream(cached.route, cached.deadline);
      } else {
        void this.#resolve();
      }
    } catch (error) {
      this.onUpstreamError(error);
    }
  }

  /** Whether `report` has a receiver. */
  protected get isObserved(): boolean {
    return this.context.onRequestEnd !== undefined || this.#trace !== undefined;
  }

  /** The response has ended, or the WebSocket has closed. */
  protected report(facts: RequestFacts): void {
    this.context.onRequestEnd?.(facts);
    this.#trace?.end(facts);
  }

  /** The client has disconnected, or has its response. */
  protected finish(): void {
    this.isDone = true;
    this.#disconnected?.abort();
  }

  /**
   * Decides how to continue after an error before the response started. A superseded route is
   * resolved again. For a lost instance, the current route gives the reason. Any error other than
   * an UpstreamError is a bug in the proxy.
   */
  protected onUpstreamError(thrown: unknown): void {
    const error =
      thrown instanceof UpstreamError ? thrown : new UpstreamError('internal', 'internal', thrown);
    if (error.kind === 'internal') this.logUpstreamError(error);
    if (this.isDone) return;
    if (error instanceof UnregisteredHostError) {
      const { host, address } = error;
      this.fail({ kind: 'host_unregistered', id: this.id, host, address }, error);
      return;
    }
    switch (error.kind) {
      case 'superseded':
        if (++this.#superseded < MAX_SUPERSEDED_ROUTES) void this.#resolve();
        else void this.#failAsRouted(error);
        return;
      case 'unreachable':
      case 'broken':
      case 'dropped':
        void this.#failAsRouted(error);
        return;
      case 'silent':
        this.fail({ kind: 'upstream_timeout', id: this.id }, error);
        return;
      case 'unconfirmed':
      case 'unregistered':
        this.fail({ kind: 'store_unavailable' }, error);
        return;
      case 'internal':
        // It was logged above.
        this.fail({ kind: 'internal' });
    }
  }

  /** Logs and counts an error. Call it once per failed request. */
  protected logUpstreamError(error: UpstreamError): void {
    const { id } = this;
    const { kind } = error;
    const { reason, detail } = explainFailure(error);
    this.context.onUpstreamFailure?.(reason, { id, detail, isOfInstance: OF_INSTANCE.has(kind) });
    const fields = { id, ...this.#requestFields(), kind, reason, detail, err: error };
    if (error instanceof UnregisteredHostError) {
      const { host, address } = error;
      this.context.logger.warn(
        { id, kind, reason, host, address },
        'route refused: its host has not registered a network with this address',
      );
    } else if (kind === 'internal') this.context.logger.error(fields, 'request failed by a bug');
    else this.context.logger.warn(fields, 'instance did not respond correctly');
  }

  protected fail(failure: Failure, error?: UpstreamError): void {
    this.isDone = true;
    if (error) this.logUpstreamError(error);
    this.respondWithFailure(failure, error && explainFailure(error));
  }

  /** What identifies the request in the log, without its query, which may contain secrets. */
  #requestFields(): Record<string, unknown> {
    const { route, port } = this.#upstream ?? {};
    return {
      method: this.request.method,
      path: (this.request.address.path.split('?', 1)[0] ?? '').slice(0, MAX_LOGGED_PATH),
      protocol: this.pageResponse === undefined ? 'websocket' : 'http',
      host: route?.host,
      generation: route?.generation,
      port,
    };
  }

  async #resolve(): Promise<void> {
    try {
      this.#disconnected ??= new AbortController();
      const { signal } = this.#disconnected;
      const resolution = await this.#resolveNamed((isSuperseded) =>
        resolveRoute(this.id, {
          context: this.context,
          isSuperseded,
          signal,
          authorize: (route) => this.#authorize(route),
          sendWaitingPage: () => this.#sendWaitingPage(),
        }),
      );
      if (this.isDone) return;
      if (resolution.kind === 'open') this.#toUpstream(resolution.route, resolution.deadline);
      else if (resolution.kind === 'failed') this.fail(resolution.failure);
      else {
        this.isDone = true;
        if (this.pageResponse) this.context.lingering.discardRest(this.req, this.pageResponse);
      }
    } catch (error) {
      this.onUpstreamError(error);
    }
  }

  /**
   * Resolves the route of the id. For a name, that of the id which it leads to: if that instance does
   * not serve, the name may have moved, so it is read again.
   */
  async #resolveNamed(
    resolve: (isSuperseded: boolean) => Promise<RouteResolution>,
  ): Promise<RouteResolution> {
    const { name } = this.request.address;
    const isSuperseded = this.#superseded > 0;
    if (name === undefined) return resolve(isSuperseded);
    const { routes } = this.context;
    let named = await resolveName(this.context, name, () => routes.findName(name));
    for (let i = 0; ; i++) {
      if (named.kind === 'failed') return named;
      if (named.kind === 'absent') return this.#refuseUnknownName();
      this.#follow(named.route);
      const { id } = named.route;
      const wasDead = isOver(routes.peek(id)?.route);
      const resolution = await resolve(isSuperseded);
      if (resolution.kind !== 'failed' || this.isDone) return resolution;
      let { route } = named;
      if (i < MAX_SUPERSEDED_ROUTES && mayHaveMoved(resolution.failure, wasDead, this.req)) {
        named = await resolveName(this.context, name, () => routes.confirmName(name));
        if (named.kind !== 'found' || named.route.id !== id) continue;
        ({ route } = named);
      }
      const ended = endOfName(resolution, route);
      const started = await this.#startOnVisit(name, route, ended);
      if (started !== undefined) return started;
      named = await resolveName(this.context, name, () => routes.confirmName(name));
    }
  }

  /** Undefined: the name must be read again. */
  async #startOnVisit(
    name: string,
    { generation, startsOnVisit }: NameRoute,
    ended: RouteResolution,
  ): Promise<RouteResolution | undefined> {
    const { startOnVisit } = this.context;
    if (startsOnVisit !== true || startOnVisit === undefined || this.#hasVisited) return ended;
    if (this.isDone || ended.kind !== 'failed' || !isEnd(ended.failure)) return ended;
    this.#hasVisited = true;
    const isShared = this.request.address.prefix !== '';
    const outcome = await startOnVisit(this.req, name, { generation, isShared });
    if (outcome.kind === 'changed') return undefined;
    return outcome.failure ? { kind: 'failed', failure: outcome.failure } : ended;
  }

  /** As for an unknown id. */
  #refuseUnknownName(): RouteResolution {
    const decision = this.#authorize(undefined);
    if (decision.kind === 'answered') return decision;
    if (decision.kind === 'denied') return { kind: 'failed', failure: decision.failure };
    return { kind: 'failed', failure: { kind: 'not_found', what: 'instance of this name' } };
  }

  /** From now on the request is for the instance that its name leads to. */
  #follow({ id }: NameRoute): void {
    this.request = { ...this.request, address: { ...this.request.address, id } };
  }

  /**
   * Relative links of the page at `/demo/{id}` lead to the instance only from `/demo/{id}/`. An
   * instance that sees the prefix chooses by itself: some redirect to the path without the slash.
   */
  #redirectsToSlash(route: Route | undefined): boolean {
    const { request, pageResponse: res } = this;
    const { method, address } = request;
    if (!res || address.path.startsWith('/') || (method !== 'GET' && method !== 'HEAD')) {
      return false;
    }
    if (route?.state === 'ready' && !route.stripPrefix) return false;
    this.isDone = true;
    this.context.lingering.discardRest(this.req, res);
    res.writeHead(308, {
      location: `${outerPrefix(request)}${address.prefix}/${address.path}`,
      'content-length': 0,
      // The template is known only when the instance is ready.
      'cache-control': 'no-store',
    });
    res.end();
    return true;
  }

  #authorize(route: Route | undefined): AccessDecision {
    if (this.#redirectsToSlash(route)) return { kind: 'answered' };
    const { context, req, request, pageResponse } = this;
    const decision = authorizeAccess(req, request, route, context.prefix, pageResponse);
    if (decision.kind === 'allowed') {
      this.request = decision.request;
      if (route?.access !== undefined) request.connection.openedGuarded = this.id;
    }
    return decision;
  }

  #sendWaitingPage(): boolean {
    const { context, req, pageResponse } = this;
    return pageResponse !== undefined && context.waitingPage?.(req, pageResponse, this.id) === true;
  }

  #toUpstream(route: ReadyRoute, deadline: number): void {
    const port = choosePort(route, this.request.address.port);
    if (port === undefined) {
      this.fail({ kind: 'not_found', what: 'port with this name or number in the template' });
      return;
    }
    const pool = this.context.pools.poolOf(this.id, route, deadline);
    this.#upstream = { route, deadline, pool, port };
    this.connect(this.#upstream);
  }

  /** Responds with the state of the current route. If it is still open, the instance failed. */
  async #failAsRouted(error: UpstreamError): Promise<void> {
    try {
      const resolution = await lookUpRoute(this.id, this.context);
      if (this.isDone) return;
      if (resolution.kind === 'failed') {
        // The instance ended during the request: the route says why, and its end was logged.
        const { logger } = this.context;
        logger.debug({ id: this.id, err: error }, 'request failed as its instance ended');
        this.fail(resolution.failure);
      } else this.fail({ kind: 'upstream_unreachable', id: this.id }, error);
    } catch (bug) {
      this.onUpstreamError(bug);
    }
  }
}

/**
 * The container port for the name or number in an address; only ports of the route can be reached.
 * @param requested undefined: the main port
 */
function choosePort(route: ReadyRoute, requested: string | undefined): number | undefined {
  if (requested === undefined) return route.port;
  if (Object.hasOwn(route.ports, requested)) return route.ports[requested];
  return Object.values(route.ports).find((port) => String(port) === requested);
}

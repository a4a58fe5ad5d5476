import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Failure } from '@ephemera/domain';
import { watchRequest } from './activity.ts';
import { refuse, REFUSALS } from './early-response.ts';
import { CONTINUE_TIMEOUT_MS } from './limits.ts';
import { hasBody } from './request-head.ts';
import { ResponseWriter } from './response-writer.ts';
import { type DataPlaneContext, RoutedRequest, type Upstream } from './routed-request.ts';
import { Upload } from './upload.ts';
import { type InboundRequest, rewriteContextOf, upstreamHead } from './upstream-request.ts';
import type { Connection, ResponseListener, UpstreamError } from './upstream/connection.ts';
import type { UpstreamFailure } from './upstream/explain-failure.ts';
import type { ResponseHead } from './upstream/response-parser.ts';

/**
 * The methods that node:http parses and that the HTTP Method Registry of IANA lists as idempotent
 * (RFC 9110 section 16.1.1): of RFC 9110 itself, of WebDAV and its extensions, and QUERY. All others
 * are sent once.
 */
const IDEMPOTENT_METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD OPTIONS TRACE PUT DELETE QUERY LINK UNLINK ' +
    // RFC 4918 (WebDAV), 3744 (ACL), 4791 (CalDAV), 5323 (SEARCH), 5842 (bindings)
    'PROPFIND PROPPATCH MKCOL COPY MOVE UNLOCK ACL MKCALENDAR SEARCH BIND REBIND UNBIND ' +
    // RFC 3253 (versioning)
    'REPORT CHECKOUT MERGE MKACTIVITY'
  ).split(' '),
);

/** One HTTP request of a client and its one response. It is sent upstream once, or twice. */
export class ProxiedRequest extends RoutedRequest {
  readonly writer: ResponseWriter;
  readonly #res: ServerResponse;
  #attempt: UpstreamAttempt | undefined;
  #hasRetried = false;
  #isWatched = false;
  /** Monotonic ms, as are the two below. */
  readonly #startedAt = performance.now();
  #sentAt = 0;
  #respondedAt = 0;

  constructor(
    context: DataPlaneContext,
    req: IncomingMessage,
    res: ServerResponse,
    request: InboundRequest,
  ) {
    super(context, req, request);
    this.writer = new ResponseWriter(req, res);
    this.#res = res;
  }

  start(): void {
    this.context.inFlight++;
    this.#res.on('close', () => this.#onClientClosed());
    this.route();
  }

  protected override get pageResponse(): ServerResponse {
    return this.#res;
  }

  protected override connect(upstream: Upstream): void {
    const connection = upstream.pool.acquire(upstream.port);
    if (connection) this.#send(upstream, connection);
    else void this.#connectAnew(upstream);
  }

  async #connectAnew(upstream: Upstream): Promise<void> {
    try {
      const connection = await upstream.pool.connect(upstream.port);
      if (this.isDone) upstream.pool.release(connection);
      else this.#send(upstream, connection);
    } catch (error) {
      this.onUpstreamError(error);
    }
  }

  #send(upstream: Upstream, connection: Connection): void {
    this.#sentAt = performance.now();
    this.#attempt = new UpstreamAttempt(this, upstream, connection);
    this.#attempt.start();
    this.#watchActivity(upstream);
  }

  #watchActivity({ route, pool }: Upstream): void {
    const { activity } = this.context;
    if (activity === undefined || route.activity === undefined || this.#isWatched) return;
    this.#isWatched = true;
    watchRequest(activity, pool.id, route, this.req, this.#res);
  }

  /** The head of the final response has arrived. */
  onResponseHead(): void {
    this.#respondedAt = performance.now();
  }

  /** The response was passed on in full. */
  onResponseEnd(): void {
    this.isDone = true;
    this.#attempt = undefined;
    if (!this.req.complete) this.context.lingering.discardRest(this.req, this.#res);
  }

  /**
   * The attempt has failed.
   * @param hasResponse whether a byte of a response had arrived
   * @param awaitsClient whether the client had still to send a part of the body
   */
  onAttemptError(error: UpstreamError, hasResponse: boolean, awaitsClient: boolean): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (this.writer.hasBegun) {
      this.isDone = true;
      // A response ends with its instance: that is no failure of the instance.
      if (error.kind !== 'dropped') this.logUpstreamError(error);
      this.writer.abort();
    } else if (error.kind === 'silent' && awaitsClient) {
      // The client was silent, not the instance.
      this.isDone = true;
      refuse(this.req, this.#res, REFUSALS.timeout);
    } else if (attempt && error.kind === 'broken' && !hasResponse && this.#mayRetry(attempt)) {
      const fields = { id: this.request.address.id, err: error };
      this.context.logger.debug(fields, 'idle connection was closed; trying again');
      this.context.onRetry?.();
      // The stopped upload discards what arrives.
      this.req.pause();
      void this.#connectAnew(attempt.upstream);
    } else {
      this.onUpstreamError(error);
    }
  }

  /**
   * Repeats the request if the instance closed the idle connection while it was being reused: once,
   * if the method is idempotent (RFC 9110 section 9.2.2) and no part of a body has been read.
   */
  #mayRetry(attempt: UpstreamAttempt): boolean {
    if (!attempt.isOnReusedConnection || this.#hasRetried) return false;
    this.#hasRetried = true;
    return IDEMPOTENT_METHODS.has(this.request.method) && !attempt.hasReadBody;
  }

  protected override respondWithFailure(failure: Failure, cause?: UpstreamFailure): void {
    if (this.closesAfterResponse) this.#res.shouldKeepAlive = false;
    if (!this.req.complete) this.context.lingering.discardRest(this.req, this.#res);
    this.context.sendFailure(this.req, this.#res, failure, cause);
  }

  /**
   * Whether the client connection closes after a response that begins now. A client that waits for
   * `100 Continue` may send its body or another request after it (RFC 9110 section 10.1.1).
   */
  get closesAfterResponse(): boolean {
    const { expectsContinue } = this.request.head;
    const isUndecided = !this.req.complete && expectsContinue && !this.writer.hasContinued;
    return this.context.isDraining || isUndecided;
  }

  #onClientClosed(): void {
    this.context.inFlight--;
    if (this.isObserved) {
      this.report({
        id: this.id,
        req: this.req,
        template: this.template,
        method: this.request.method,
        status: this.writer.hasBegun ? this.#res.statusCode : undefined,
        duration: performance.now() - this.#startedAt,
        upstreamDuration: this.#respondedAt > 0 ? this.#respondedAt - this.#sentAt : undefined,
        bytes: this.writer.bytes,
      });
    }
    this.finish();
    this.#attempt?.abandon();
    this.#attempt = undefined;
  }
}

/** One attempt to send a request on one connection, and the way back of its response. */
class UpstreamAttempt implements ResponseListener {
  readonly upstream: Upstream;
  readonly isOnReusedConnection: boolean;
  readonly #owner: ProxiedRequest;
  readonly #connection: Connection;
  #upload: Upload | undefined;
  #continueTimer: NodeJS.Timeout | undefined;
  /** The client does not accept bytes at the moment. Received bytes are queued. */
  #isBlocked = false;
  #isOver = false;

  constructor(owner: ProxiedRequest, upstream: Upstream, connection: Connection) {
    this.upstream = upstream;
    this.isOnReusedConnection = connection.isReused;
    this.#owner = owner;
    this.#connection = connection;
  }

  start(): void {
    const { request, context, req } = this.#owner;
    const { route, port } = this.upstream;
    const { head, method } = request;
    this.#connection.send(upstreamHead(request, route, port), method, this);
    if (!hasBody(head)) {
      this.#connection.endRequest();
      return;
    }
    this.#upload = new Upload(req, this.#connection, context.uploads, request);
    if (head.expectsContinue) {
      this.#continueTimer = setTimeout(
        () => this.#owner.writer.sendContinue(),
        CONTINUE_TIMEOUT_MS,
      );
    }
  }

  /** Whether a part of the body was taken from the client. */
  get hasReadBody(): boolean {
    return this.#upload?.hasRead === true;
  }

  /** The client has disconnected. The instance must notice this immediately. */
  abandon(): void {
    clearTimeout(this.#continueTimer);
    this.#upload?.stop();
    this.#connection.abandon();
  }

  onHead(head: ResponseHead): void {
    const { writer, request } = this.#owner;
    if (head.status === 100) {
      if (request.head.expectsContinue) writer.sendContinue();
      return;
    }
    const { route, port } = this.upstream;
    const rewriteContext = rewriteContextOf(request, route, port);
    if (head.status < 200) {
      writer.inform(head, rewriteContext);
      return;
    }
    clearTimeout(this.#continueTimer);
    this.#owner.onResponseHead();
    writer.begin(head, rewriteContext, this.#owner.closesAfterResponse, route);
  }

  onBody(data: Buffer, isLast: boolean): void {
    const { writer, context } = this.#owner;
    if (writer.write(data, isLast)) return;
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
    this.#upload?.stop();
    this.#owner.writer.end(trailers, this.#owner.context.clientTimeout);
    this.#owner.onResponseEnd();
  }

  onChunkEnd(): void {
    this.#owner.writer.flush();
  }

  onDrain(): void {
    this.#upload?.onDrain();
  }

  onError(error: UpstreamError, hasResponse: boolean): void {
    clearTimeout(this.#continueTimer);
    this.#isOver = true;
    const awaitsClient = this.#upload?.awaitsClient === true;
    this.#upload?.stop();
    this.#owner.onAttemptError(error, hasResponse, awaitsClient);
  }
}

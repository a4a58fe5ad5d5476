import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Failure } from '@ephemera/domain';
import { watchTunnel } from './activity.ts';
import { refuseSocket, REFUSALS, responseForSocket } from './early-response.ts';
import { type DataPlaneContext, RoutedRequest, type Upstream } from './routed-request.ts';
import type { UpstreamFailure } from './upstream/explain-failure.ts';
import type { Handshake, WebSocketTunnels } from './websocket-tunnel.ts';

const NO_BYTES = Buffer.alloc(0);

/** A WebSocket handshake that has passed its checks, and the tunnel that it becomes. */
export class ProxiedUpgrade extends RoutedRequest {
  readonly #tunnels: WebSocketTunnels;
  readonly #socket: Socket;
  #head: Buffer;
  #stopWatching: (() => void) | undefined;
  #isCounted = false;
  readonly #startedAt = performance.now();
  /** Earlier responses may have been sent on the same connection. */
  readonly #bytesBefore: number;
  /** The status of the response; undefined until there is one. */
  #status: number | undefined;

  constructor(context: DataPlaneContext, tunnels: WebSocketTunnels, handshake: Handshake) {
    super(context, handshake.req, handshake.request);
    this.#tunnels = tunnels;
    this.#socket = handshake.socket;
    this.#head = handshake.head;
    this.#bytesBefore = handshake.socket.bytesWritten;
  }

  start(): void {
    this.#stopWatching = destroyOnEnd(this.#socket);
    this.#socket.once('close', () => this.#onClosed());
    this.route();
  }

  protected override get pageResponse(): ServerResponse | undefined {
    return undefined;
  }

  protected override connect(upstream: Upstream): void {
    if (!this.#isCounted && !this.#count()) {
      this.finish();
      this.#status = REFUSALS.webSockets.status;
      refuseSocket(this.#socket, REFUSALS.webSockets);
      return;
    }
    const { req, request } = this;
    const handshake = { req, request, socket: this.#socket, head: this.#head };
    // http-proxy puts these bytes back into the socket, so a second attempt must not do it again.
    this.#head = NO_BYTES;
    this.#tunnels.open(handshake, upstream, {
      onSwitch: () => this.#stopWatching?.(),
      onOpen: () => {
        this.#status = 101;
        const { activity } = this.context;
        if (activity) watchTunnel(activity, this.id, upstream.route, this.#socket);
      },
      onRefusal: (status) => (this.#status = status),
      onError: (error) => this.onUpstreamError(error),
      onAbort: (error) => this.logUpstreamError(error),
    });
  }

  /**
   * Counts the WebSocket until its client disconnects. An idle WebSocket holds two descriptors for as
   * long as both ends like. Returns false if the instance has as many as it may have.
   */
  #count(): boolean {
    const { id } = this;
    const { webSockets, webSocketsPerInstance, onWebSocketRefused } = this.context;
    const count = webSockets.get(id) ?? 0;
    if (count >= webSocketsPerInstance) {
      onWebSocketRefused?.();
      return false;
    }
    this.#isCounted = true;
    webSockets.set(id, count + 1);
    this.#socket.once('close', () => {
      const left = (webSockets.get(id) ?? 1) - 1;
      if (left > 0) webSockets.set(id, left);
      else webSockets.delete(id);
    });
    return true;
  }

  protected override respondWithFailure(failure: Failure, cause?: UpstreamFailure): void {
    const res = responseForSocket(this.#socket, this.req);
    res.once('finish', () => (this.#status = res.statusCode));
    this.context.sendFailure(this.req, res, failure, cause);
  }

  #onClosed(): void {
    this.finish();
    this.report({
      id: this.id,
      req: this.req,
      template: this.template,
      method: this.request.method,
      status: this.#status,
      duration: performance.now() - this.#startedAt,
      upstreamDuration: undefined,
      bytes: this.#socket.bytesWritten - this.#bytesBefore,
    });
  }
}

/**
 * Destroys a socket as soon as its client ends it, although nobody reads the socket yet. Otherwise
 * the disconnect is noticed only at the next write. Bytes that arrive stay readable.
 *
 * @returns gives the socket back to its reader
 */
function destroyOnEnd(socket: Socket): () => void {
  const onReadable = () => {
    // `end` is emitted only after a read of the empty buffer.
    if (socket.readableLength === 0) socket.read();
  };
  const onEnd = () => socket.destroy();
  socket.on('readable', onReadable).once('end', onEnd);
  return () => void socket.off('readable', onReadable).off('end', onEnd);
}

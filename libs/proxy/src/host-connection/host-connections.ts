import { request as sendRequest } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import {
  HOST_FAILURE_HEADER,
  HOST_STREAM_PROTOCOL,
  isHostAddress,
  signHostRequest,
} from '@ephemera/lifecycle';
import type { HostFailureKind, HostSigner, SignedHostAddress } from '@ephemera/lifecycle';
import { WorkerAgent } from './worker-agent.ts';
import { createWorkerWatch } from './worker-watch.ts';

/** A request to the worker of a host about one instance. */
export interface HostCall {
  readonly host: string;
  readonly id: string;
  /** The generation that the caller has read. The worker refuses any other: `gone`. */
  readonly generation: number;
  readonly operation: string;
  /** Begin of the fingerprint of the worker that is asked first. Default: the last heartbeat. */
  readonly worker?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent with back-pressure. Its error ends the request. */
  readonly body?: Readable | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the request at any time, also its response or stream: the client has disconnected. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether the operation may be executed twice. Then another worker of the host is asked if the
   * connection to the first one is lost before the response. Not with a `Readable` body.
   */
  readonly isRepeatable?: boolean;
  /** Time until the head of the response, ms. The body may take any time. */
  readonly timeoutMs?: number;
}

export interface HostFailure {
  readonly kind: HostFailureKind;
  /** For the log: it may contain addresses. */
  readonly detail: string;
}

export interface HostResponse {
  readonly kind: 'response';
  /** The status of the operation, which may be an error of it. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Read it to its end, or destroy it. An `error` event means that it is incomplete. */
  readonly body: IncomingMessage;
}

export interface HostStream {
  readonly kind: 'stream';
  /** Bytes in both directions. Destroy it to end it. It may emit `error`. */
  readonly stream: Duplex;
}

/**
 * Authenticated connections to the workers of hosts. A worker registers an operation under its name in
 * `hostOperations` (libs/worker/src/host-interface): `answer` for `request`, `stream` for `open`.
 * Failures are results and never thrown.
 */
export interface HostConnections {
  /** Sends a request. Resolves with the head of the response; the body follows. */
  request(call: HostCall): Promise<HostResponse | HostFailure>;
  /** Opens a stream in both directions. */
  open(call: Omit<HostCall, 'body'>): Promise<HostStream | HostFailure>;
  close(): void;
}

export interface HostConnectionsOptions {
  readonly signer: HostSigner;
  /** The registered addresses of the workers of a host, best first. */
  readonly addressesOf: (host: string) => Promise<readonly SignedHostAddress[]>;
  /** The store's clock, epoch ms. */
  readonly now: () => number;
}

type Attempt =
  | HostResponse
  | HostStream
  /** `isBegun`: the worker may have received the request. */
  | (HostFailure & { readonly isBegun?: boolean });

const RESPONSE_TIMEOUT_MS = 20_000;

export function createHostConnections(options: HostConnectionsOptions): HostConnections {
  const { signer, addressesOf, now } = options;
  const agents = new Map<string, WorkerAgent>();
  const closing = new AbortController();
  const workers = createWorkerWatch();

  return {
    request: (call) => send(call, false) as Promise<HostResponse | HostFailure>,
    open: (call) => send(call, true) as Promise<HostStream | HostFailure>,
    close() {
      closing.abort();
      for (const agent of agents.values()) agent.destroy();
    },
  };

  async function send(
    call: HostCall,
    isStream: boolean,
  ): Promise<HostResponse | HostStream | HostFailure> {
    let registered: readonly SignedHostAddress[];
    try {
      registered = await addressesOf(call.host);
    } catch (error) {
      return { kind: 'unreachable', detail: `its address cannot be read: ${messageOf(error)}` };
    }
    const addresses = registered.filter((address) => isHostAddress(signer, call.host, address));
    if (addresses.length === 0) {
      return { kind: 'unregistered', detail: whyUnregistered(signer, registered) };
    }
    const failures: string[] = [];
    const { worker } = call;
    if (worker !== undefined) {
      const rank = ({ fingerprint }: SignedHostAddress) => (fingerprint.startsWith(worker) ? 0 : 1);
      addresses.sort((a, b) => rank(a) - rank(b));
    }
    for (const address of addresses) {
      const attempt = await sendTo(address, call, isStream);
      if (attempt.kind !== 'unreachable') return attempt;
      // Another worker of the host may do it, unless this one may have begun.
      if (attempt.isBegun === true && call.isRepeatable !== true) return attempt;
      // The worker that is meant is registered, so it lives. Others do not know what it runs.
      if (worker !== undefined && address.fingerprint.startsWith(worker)) return attempt;
      failures.push(`${address.url}: ${attempt.detail}`);
    }
    return { kind: 'unreachable', detail: failures.join('; ') };
  }

  async function sendTo(
    address: SignedHostAddress,
    call: HostCall,
    isStream: boolean,
  ): Promise<Attempt> {
    const { id, generation, operation, query, body, signal } = call;
    const ended = AbortSignal.any([closing.signal, ...(signal ? [signal] : [])]);
    if (ended.aborted) return { kind: 'aborted', detail: 'aborted before it was sent' };
    const claims = { worker: address.fingerprint, id, generation, operation };
    const url = new URL(`/${operation}?${new URLSearchParams(query).toString()}`, address.url);
    const req = sendRequest({
      agent: agentOf(address),
      // The agent connects by TLS.
      protocol: 'http:',
      host: url.hostname,
      port: url.port,
      method: isStream ? 'GET' : 'POST',
      path: url.pathname + url.search,
      headers: {
        ...call.headers,
        authorization: `Ephemera ${signHostRequest(signer, claims, now())}`,
        ...(isStream && { connection: 'upgrade', upgrade: HOST_STREAM_PROTOCOL }),
      },
    });
    const { promise, resolve } = Promise.withResolvers<Attempt>();
    let isBegun = false;
    /** What an abort destroys: the request, then its response or stream. */
    let active: { destroy(error?: Error): unknown } = req;
    const abort = () => {
      resolve({ kind: 'aborted', detail: 'aborted' });
      active.destroy();
    };
    ended.addEventListener('abort', abort, { once: true });
    const unwatch = workers.watch(address, () => {
      const detail = 'the worker no longer answers';
      resolve({ kind: 'unreachable', detail, isBegun });
      active.destroy(new Error(detail));
    });
    const forget = () => {
      ended.removeEventListener('abort', abort);
      unwatch();
    };
    const timer = setTimeout(() => {
      resolve({ kind: 'timeout', detail: 'no response in time' });
      req.destroy();
    }, call.timeoutMs ?? RESPONSE_TIMEOUT_MS);
    req.once('socket', () => {
      isBegun = true;
      if (body === undefined || typeof body === 'string') req.end(body);
      // An error of the body destroys the request, which reports it.
      else pipeline(body, req, () => undefined);
    });
    req.on('error', (error) => resolve({ kind: 'unreachable', detail: messageOf(error), isBegun }));
    req.once('response', (res) => {
      active = res;
      res.once('close', forget);
      const kind = res.headers[HOST_FAILURE_HEADER] as HostFailureKind | undefined;
      if (kind !== undefined || isStream) {
        void failureOf(res, kind).then(resolve);
        return;
      }
      const { statusCode: status = 0, headers } = res;
      resolve({ kind: 'response', status, headers, body: res });
    });
    req.once('upgrade', (_res, stream, head) => {
      active = stream;
      stream.once('close', forget);
      if (head.length > 0) stream.unshift(head);
      resolve({ kind: 'stream', stream });
    });
    const result = await promise;
    clearTimeout(timer);
    if (active === req) forget();
    return result;
  }

  function agentOf(address: SignedHostAddress): WorkerAgent {
    const known = agents.get(address.fingerprint);
    if (known) return known;
    // A restarted worker has another certificate.
    for (const [fingerprint, agent] of agents) if (agent.isUnused) agents.delete(fingerprint);
    const agent = new WorkerAgent(address);
    agents.set(address.fingerprint, agent);
    return agent;
  }
}

async function failureOf(
  res: IncomingMessage,
  kind: HostFailureKind | undefined,
): Promise<HostFailure> {
  let text = '';
  try {
    for await (const chunk of res.setEncoding('utf8')) text += String(chunk);
  } catch {
    // The kind suffices.
  }
  return { kind: kind ?? 'refused', detail: text || `status ${res.statusCode}` };
}

function whyUnregistered(signer: HostSigner, registered: readonly SignedHostAddress[]): string {
  if (!signer.hasKeys) {
    return 'EPHEMERA_SIGNING_KEYS is not set on the proxy. Set the same value on all proxies and workers';
  }
  if (registered.length === 0) {
    return 'no worker of the host has registered an address. Set EPHEMERA_SIGNING_KEYS on the workers, and check that one is running';
  }
  return 'no key of this proxy has signed the registered address. Set the same EPHEMERA_SIGNING_KEYS on all proxies and workers';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

import { get } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { basePathOf } from '@ephemera/domain';
import type { Instance, Readiness } from '@ephemera/domain';
import type { Probe, ProbeResult } from '@ephemera/lifecycle';

/** Timeout of one attempt, milliseconds, unless the template sets another. */
const ATTEMPT_TIMEOUT_MS = 2_000;
/** Minimum timeout of one attempt, milliseconds, at the end of the start deadline. */
const MIN_TIMEOUT_MS = 250;
/** A port that sends nothing for this long after a GET is not waited for as HTTP, milliseconds. */
const SILENCE_MS = 1_000;

const READY: ProbeResult = { ready: true };

/** Probes an instance once, as its template says. */
export const probe: Probe = async (instance, address, maxMs) => {
  if (address === '') return unready('The container has no address.');
  const { ready, port } = instance.template;
  const timeoutMs = Math.max(MIN_TIMEOUT_MS, Math.min(ready.timeout ?? ATTEMPT_TIMEOUT_MS, maxMs));
  if (ready.kind === 'tcp') return accepts(address, port, timeoutMs);
  const request = requestOf(instance, address, ready);
  return ready.kind === 'http'
    ? answers(request, ready.status, timeoutMs)
    : serves(request, timeoutMs);
};

/** A response with an accepted status. */
async function answers(
  request: ProbeRequest,
  status: StatusRanges,
  timeoutMs: number,
): Promise<ProbeResult> {
  const answer = await ask(request, timeoutMs, timeoutMs);
  if (answer.kind === 'status' && isIn(status, answer.status)) return READY;
  return unreadyAfter(answer, request, { status, timeoutMs });
}

/**
 * A response with a status below 500, or a port that accepts twice without speaking HTTP. A port that
 * closes each connection before it has received anything does not serve: it may be a relay whose
 * application does not listen yet.
 */
async function serves(request: ProbeRequest, timeoutMs: number): Promise<ProbeResult> {
  const silenceMs = Math.min(SILENCE_MS, timeoutMs);
  let answer = await ask(request, timeoutMs, silenceMs);
  const first = answer;
  if (isSilent(first)) {
    // An application that is about to exit or restart may accept one connection and close it.
    await sleep(Math.max(0, silenceMs - first.tookMs));
    answer = await ask(request, timeoutMs, silenceMs);
    const isServing =
      answer.kind === 'closed' ? await keepsOpen(request, silenceMs) : isSilent(answer);
    if (isServing) return READY;
  }
  if (answer.kind === 'status' && isIn(BELOW_500, answer.status)) return READY;
  return unreadyAfter(answer, request, { status: BELOW_500, timeoutMs });
}

/**
 * Requests the page of an instance that a probe has found ready, and waits for the whole time. `auto`
 * also accepts a server that is silent while it makes its first page.
 * @returns not ready for a status from 500 on, an incomplete head, or no connection. A port that
 *   speaks no HTTP, or is silent to the end, is ready.
 */
export async function probePage(
  instance: Instance,
  address: string,
  timeoutMs: number,
): Promise<ProbeResult> {
  const request = requestOf(instance, address, { kind: 'auto', within: timeoutMs });
  const answer = await ask(request, timeoutMs, timeoutMs);
  if (isSilent(answer)) return READY;
  if (answer.kind === 'status' && isIn(BELOW_500, answer.status)) return READY;
  return unreadyAfter(answer, request, { status: BELOW_500, timeoutMs });
}

interface AttemptLimits {
  /** The statuses that are accepted. */
  readonly status: StatusRanges;
  readonly timeoutMs: number;
}

type StatusRanges = Extract<Readiness, { kind: 'http' }>['status'];

const BELOW_500: StatusRanges = [[100, 499]];

function isIn(ranges: StatusRanges, status: number): boolean {
  return ranges.some(([from, to]) => status >= from && status <= to);
}

function unready(finding: string, code?: string): ProbeResult {
  return { ready: false, finding, ...(code === 'ECONNREFUSED' && { refused: true }) };
}

function unreadyAfter(answer: Answer, ...asked: [ProbeRequest, AttemptLimits]): ProbeResult {
  return unready(
    findingOf(answer, ...asked),
    answer.kind === 'no_connection' ? answer.code : undefined,
  );
}

function accepts(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (result: ProbeResult) => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => end(READY));
    socket.once('timeout', () => end(unready(noConnection(port, 'ETIMEDOUT'))));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(unready(noConnection(port, error.code), error.code)),
    );
  });
}

/** Whether the port sends something, or leaves the connection open, although the client sends nothing. */
function keepsOpen({ address, port }: ProbeRequest, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const timer = setTimeout(() => end(!socket.connecting), ms);
    const end = (isOpen: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('data', () => end(true));
    socket.once('end', () => end(false));
    socket.once('error', () => end(false));
  });
}

interface ProbeRequest {
  readonly address: string;
  readonly port: number;
  readonly path: string;
  readonly host: string;
}

/** The request of a visitor who opens the path, as the application receives it from the proxy. */
function requestOf(
  instance: Instance,
  address: string,
  ready: Exclude<Readiness, { kind: 'tcp' }>,
): ProbeRequest {
  const { port, stripPrefix, host } = instance.template;
  const basePath = basePathOf(instance);
  const path = ready.kind === 'http' ? ready.path : '/';
  const isBelow = stripPrefix || path.startsWith('{basePath}');
  const own = (address.includes(':') ? `[${address}]` : address) + (port === 80 ? '' : `:${port}`);
  return {
    address,
    port,
    path: (isBelow ? path : basePath + path).replaceAll('{basePath}', basePath),
    host: ready.host ?? (host === 'mask' ? own : new URL(instance.url).host),
  };
}

/** What one GET has shown. */
type Answer =
  | { readonly kind: 'status'; readonly status: number }
  /** The port accepted the connection, and closed it without a byte or sent nothing for 1 s. */
  | { readonly kind: 'closed' | 'silent'; readonly tookMs: number }
  /** It sent something that is no HTTP response. */
  | { readonly kind: 'not_http'; readonly code: string; readonly tookMs: number }
  /** It sent a part of a response within the timeout. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'no_connection'; readonly code: string | undefined };

type SilentAnswer = Extract<Answer, { kind: 'closed' | 'silent' | 'not_http' }>;

/** Whether the port accepts connections, but does not speak HTTP. */
function isSilent(answer: Answer): answer is SilentAnswer {
  return answer.kind === 'closed' || answer.kind === 'silent' || answer.kind === 'not_http';
}

/** Sends one GET. The port is silent if it has sent nothing `silenceMs` after it has accepted. */
function ask(
  { address, port, path, host }: ProbeRequest,
  timeoutMs: number,
  silenceMs: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    const began = performance.now();
    const took = () => performance.now() - began;
    let accepted: Socket | undefined;
    const timers: NodeJS.Timeout[] = [];
    const end = (answer: Answer) => {
      for (const timer of timers) clearTimeout(timer);
      request.destroy();
      resolve(answer);
    };
    const endFailed = (code = 'ECONNRESET') => {
      if (!accepted) end({ kind: 'no_connection', code });
      else if (accepted.bytesRead > 0) end({ kind: 'not_http', code, tookMs: took() });
      else end({ kind: 'closed', tookMs: took() });
    };
    const request = get({ host: address, port, path, headers: { host }, agent: false });
    request.once('response', (response) => {
      const status = response.statusCode ?? 0;
      response.destroy();
      end({ kind: 'status', status });
    });
    request.once('socket', (socket) => {
      socket.once('connect', () => {
        accepted = socket;
        const onSilence = () => {
          if (socket.bytesRead === 0) end({ kind: 'silent', tookMs: took() });
        };
        timers.push(setTimeout(onSilence, silenceMs));
      });
    });
    // A total timeout. With a socket idle timeout, response headers that trickle in would delay a
    // start without end.
    const onTimeout = () => {
      if (!accepted) end({ kind: 'no_connection', code: 'ETIMEDOUT' });
      else if (accepted.bytesRead > 0) end({ kind: 'incomplete' });
      else end({ kind: 'silent', tookMs: took() });
    };
    timers.push(setTimeout(onTimeout, timeoutMs));
    request.on('error', (error: NodeJS.ErrnoException) => endFailed(error.code));
    // The only event after an unrequested `101 Switching Protocols`.
    request.once('close', () => endFailed('HPE_UPGRADE'));
  });
}

function findingOf(
  answer: Answer,
  { port, path }: ProbeRequest,
  { status, timeoutMs }: AttemptLimits,
): string {
  const seconds = `${Math.round(timeoutMs / 100) / 10} s`;
  const asked = `GET ${path} on port ${port}`;
  switch (answer.kind) {
    case 'status':
      return status === BELOW_500
        ? `${asked} answered ${answer.status}; a status below 500 is accepted. ${READ_LOG}`
        : `${asked} answered ${answer.status}; the template accepts ${textOf(status)}. Set ready.http to a path that answers so, or ready: tcp.`;
    case 'closed':
      return `${asked}: the connection was closed without a response. ${OTHER_PROTOCOL}`;
    case 'silent':
      return `${asked}: the connection was accepted, but nothing was sent within ${seconds}. Raise ready.timeout, or set ready: tcp.`;
    case 'incomplete':
      return `${asked}: the head of the response was not complete within ${seconds}. Raise ready.timeout.`;
    case 'not_http':
      return `${asked}: the response is not HTTP/1.1 (${answer.code}). ${OTHER_PROTOCOL}`;
    case 'no_connection':
      return noConnection(port, answer.code);
  }
}

const READ_LOG = 'Read the log of the application, or set ready: tcp.';
const OTHER_PROTOCOL =
  'Set port to the port on which the application speaks HTTP/1.1, or set ready: tcp.';

/** `200–399, 401`. */
function textOf(status: StatusRanges): string {
  return status.map(([from, to]) => (from === to ? from : `${from}–${to}`)).join(', ');
}

function noConnection(port: number, code = 'unknown error'): string {
  const happened =
    code === 'ECONNREFUSED'
      ? `Port ${port} refused the connection`
      : `No connection to port ${port} could be opened (${code})`;
  return `${happened}. The application must listen on this port on all interfaces (0.0.0.0), not on 127.0.0.1; otherwise correct port of the template.`;
}

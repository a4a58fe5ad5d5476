import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientStep } from './message.ts';

/** One response as a lenient client reads it. */
export interface ReadResponse {
  readonly status: number;
  readonly head: string;
  /** Without its framing. */
  readonly body: string;
  readonly isComplete: boolean;
}

export interface Exchanged {
  /** All bytes, latin1. */
  readonly received: string;
  /** The final responses. */
  readonly responses: readonly ReadResponse[];
  /** How the server ended the connection; undefined while it is open. */
  readonly ended: 'end' | 'reset' | undefined;
}

export interface ExchangeOptions {
  readonly port: number;
  readonly steps: readonly ClientStep[];
  readonly method: string;
  /** How many final responses to wait for. */
  readonly responses: number;
  /** Whether to wait until the server closes the connection, too. */
  readonly untilClosed: boolean;
  /** The longest time without a byte, ms. */
  readonly quietMs: number;
}

/** How long a client waits for what it needs to go on, ms: curl waits 1 s for `100 Continue`. */
const STEP_MS = 1_000;
/** Bytes behind a complete response arrive within this time, ms. */
const SURPLUS_MS = 15;

/** Runs the steps of a raw client on a new connection. */
export async function exchangeRaw(options: ExchangeOptions): Promise<Exchanged> {
  const socket = connect({
    port: options.port,
    host: '127.0.0.1',
    noDelay: true,
    allowHalfOpen: true,
  });
  let received = '';
  let ended: Exchanged['ended'];
  let heard = Date.now();
  let notify: () => void = () => undefined;
  socket.on('data', (data) => {
    received += data.toString('latin1');
    heard = Date.now();
    notify();
  });
  socket.on('end', () => {
    ended ??= 'end';
    notify();
  });
  socket.on('error', () => {
    ended ??= 'reset';
    notify();
  });
  socket.on('close', () => {
    ended ??= 'end';
    notify();
  });
  const until = async (isDone: () => boolean, ms: number) => {
    heard = Date.now();
    while (!isDone() && ended === undefined) {
      const left = heard + ms - Date.now();
      if (left <= 0) return;
      const timer = setTimeout(() => notify(), left);
      await new Promise<void>((resolve) => (notify = resolve));
      clearTimeout(timer);
    }
  };
  for (const step of options.steps) {
    if (ended !== undefined) break;
    if (typeof step === 'number') await sleep(step);
    else if (typeof step === 'string') socket.write(step, 'latin1');
    else await until(() => step.test(received), STEP_MS);
  }
  const read = () => readResponses(received, options.method, ended === 'end');
  const isAnswered = () => {
    const responses = read();
    return responses.length >= options.responses && responses.every(({ isComplete }) => isComplete);
  };
  await until(isAnswered, options.quietMs);
  if (options.untilClosed) await until(() => false, options.quietMs);
  else if (ended === undefined) await sleep(SURPLUS_MS);
  socket.destroy();
  return { received, responses: read(), ended };
}

/** Parses the final responses in received bytes. @param ended whether the server has ended them */
function readResponses(received: string, method: string, ended: boolean): ReadResponse[] {
  const responses: ReadResponse[] = [];
  let rest = received;
  for (;;) {
    const found = /^HTTP\/1\.[01] (\d{3})[^]*?\r\n\r\n/.exec(rest);
    if (!found) return responses;
    const [head] = found;
    const status = Number(found[1]);
    rest = rest.slice(head.length);
    if (status >= 100 && status < 200 && status !== 101) continue;
    const body = readBody(head, rest, { method, status, ended });
    responses.push({ status, head, body: body.text, isComplete: body.length !== undefined });
    if (body.length === undefined || status === 101) return responses;
    rest = rest.slice(body.length);
  }
}

interface BodyReading {
  readonly text: string;
  /** Its length as sent; undefined while it is incomplete. */
  readonly length: number | undefined;
}

function readBody(
  head: string,
  after: string,
  { method, status, ended }: { method: string; status: number; ended: boolean },
): BodyReading {
  if (method === 'HEAD' || [101, 204, 304].includes(status)) return { text: '', length: 0 };
  if (/\r\ntransfer-encoding:[^\r]*chunked/i.test(head)) return readChunks(after);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) return { text: after, length: ended ? after.length : undefined };
  const isWhole = after.length >= Number(length);
  return { text: after.slice(0, Number(length)), length: isWhole ? Number(length) : undefined };
}

/** Removes the framing of a chunked body. */
export function readChunks(after: string): BodyReading {
  let text = '';
  let at = 0;
  for (;;) {
    const line = /^([0-9a-f]+)[^\r\n]*\r\n/i.exec(after.slice(at, at + 200));
    if (!line) return { text, length: undefined };
    const size = parseInt(line[1] ?? '', 16);
    at += line[0].length;
    if (size === 0) break;
    text += after.slice(at, at + size);
    at += size + 2;
    if (after.length < at) return { text, length: undefined };
  }
  const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(after.slice(at));
  return { text, length: trailers ? at + trailers[0].length : undefined };
}

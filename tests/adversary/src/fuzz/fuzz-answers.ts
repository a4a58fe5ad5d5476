import { connect, type Socket } from 'node:net';
import type { Testbed } from '../testbed.ts';
import { randomFrom } from '@ephemera/test-support';
import { ANSWERS } from './answers.ts';
import { type CountingUpstream, startCountingUpstream } from './counting-upstream.ts';
import { type Findings, increment } from './finding.ts';
import { markOf, marksIn } from './mark.ts';
import { mutate, pick } from './mutate.ts';
import { readAnswer } from './strict-answers.ts';

/** How long an instance is silent before it ends its connection, ms. */
const QUIET = 150;
const TIMEOUT_MS = 10_000;

function answerCase(seed: number, number: number): string {
  const random = randomFrom(seed ^ Math.imul(number, 0xc2b2ae35));
  const mark = markOf(number);
  return mutate(pick(ANSWERS, random)(mark), pick(ANSWERS, random)(mark), random);
}

/**
 * Runs cases one after another: a client that reuses its connection while it is open, and its
 * instance.
 */
export class ResponseRunner {
  readonly #findings: Findings;
  readonly #counts: Record<string, number>;
  #upstream: CountingUpstream | undefined;
  #id = '';
  #socket: Socket | undefined;
  #received = '';
  #isClosed = true;
  #wake: () => void = () => undefined;
  #bytes = '';
  #arrivedNow = 0;
  requestsArrived = 0;

  constructor(findings: Findings, counts: Record<string, number>) {
    this.#findings = findings;
    this.#counts = counts;
  }

  async start(testbed: Testbed): Promise<void> {
    this.#upstream = await startCountingUpstream({
      onHead: () => {
        this.requestsArrived++;
        this.#arrivedNow++;
      },
      onRequest: () => this.#bytes,
      onAmbiguity: (what) => this.#found(`forwarded in a form that is not canonical: ${what}`, -1),
    });
    const { address, port } = this.#upstream;
    this.#id = await testbed.ready({ address, port });
  }

  async run(port: number, seed: number, number: number): Promise<void> {
    this.#bytes = answerCase(seed, number);
    this.#arrivedNow = 0;
    this.#received = '';
    const socket = this.#open(port);
    const method = number % 8 === 0 ? 'HEAD' : 'GET';
    socket.write(`${method} /demo/${this.#id}/ HTTP/1.1\r\nHost: a.example\r\n\r\n`);
    const quiet = setInterval(() => this.#upstream?.endAll(), QUIET);
    const timeout = setTimeout(() => socket.destroy(), TIMEOUT_MS);
    for (;;) {
      const answer = readAnswer(this.#received, method, this.#isClosed);
      if (answer.kind === 'wrong')
        this.#found(`a response that is not canonical: ${answer.reason}`, number);
      if (answer.kind === 'whole' && answer.surplus > 0) this.#found('a surplus', number);
      if (answer.kind !== 'more' || this.#isClosed) {
        increment(this.#counts, answer.kind === 'whole' ? String(answer.status) : 'cut');
        if (answer.kind === 'whole' && answer.closes) socket.destroy();
        break;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    clearInterval(quiet);
    clearTimeout(timeout);
    for (const mark of marksIn(this.#received)) {
      if (mark !== number) this.#found(`an answer to case ${mark}`, number);
    }
    // A request without a body may be retried once if its connection broke before a response.
    if (this.#arrivedNow > 2) this.#found(`${this.#arrivedNow} requests arrived`, number);
  }

  stop(): void {
    this.#socket?.destroy();
    this.#upstream?.stop();
  }

  #open(port: number): Socket {
    if (this.#socket?.writable && !this.#isClosed) return this.#socket;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    this.#isClosed = false;
    socket.on('data', (data) => {
      if (this.#socket !== socket) return;
      this.#received += data.toString('latin1');
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#isClosed = true;
      this.#wake();
    });
    return socket;
  }

  #found(what: string, number: number): void {
    this.#findings.add({ what, case: number, bytes: this.#bytes.slice(0, 2_000) });
  }
}

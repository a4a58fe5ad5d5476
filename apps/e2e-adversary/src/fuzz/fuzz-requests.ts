import type { Ground } from '../ground.ts';
import { randomFrom } from '../random.ts';
import type { Arrived } from './canonical.ts';
import { type CountingUpstream, startCountingUpstream } from './counting-upstream.ts';
import { exchange, statusesIn } from './exchange.ts';
import { type Findings, tally } from './finding.ts';
import { markOf, marksIn } from './mark.ts';
import { mutate, pick } from './mutate.ts';
import { REQUESTS } from './requests.ts';
import { readStrictly } from './strict-requests.ts';

const SEEDS = Object.values(REQUESTS);
/** A request that was begun may arrive after its client has gone: for so many further cases. */
const LATE = 30;

interface Case {
  readonly number: number;
  readonly bytes: string;
  /** Requests that the strictest reader finds in the bytes. */
  readonly requests: number;
  arrived: number;
}

/** The bytes of a case: the same for the same seed and number, whatever ran before. */
export function requestCase(seed: number, number: number, id: string): string {
  const random = randomFrom(seed ^ Math.imul(number, 0x85ebca6b));
  const path = `/demo/${id}/${markOf(number)}`;
  return mutate(pick(SEEDS, random)(path), pick(SEEDS, random)(path), random);
}

/** One lane of cases, one after the other, with an instance of its own to count what arrives. */
export class RequestLane {
  readonly #findings: Findings;
  readonly #counts: Record<string, number>;
  readonly #cases = new Map<number, Case>();
  #current: Case | undefined;
  #upstream: CountingUpstream | undefined;
  #id = '';
  requestsArrived = 0;

  constructor(findings: Findings, counts: Record<string, number>) {
    this.#findings = findings;
    this.#counts = counts;
  }

  async start(ground: Ground): Promise<void> {
    this.#upstream = await startCountingUpstream({
      onHead: (head) => this.#onHead(head),
      onRequest: (request) => this.#answer(request),
      onAmbiguity: (what) => this.#found(`sent on in no plain form: ${what}`, this.#current),
    });
    this.#id = await ground.ready({ port: this.#upstream.port });
  }

  async run(port: number, seed: number, number: number): Promise<void> {
    const bytes = requestCase(seed, number, this.#id);
    const { requests, complete } = readStrictly(bytes);
    const one: Case = { number, bytes, requests, arrived: 0 };
    this.#current = one;
    this.#cases.set(number, one);
    const received = await exchange(port, bytes, complete === requests ? complete : 0);
    const statuses = statusesIn(received);
    for (const status of statuses.length > 0 ? statuses : ['none']) tally(this.#counts, status);
    if (statuses.length > requests + 1) this.#found('more answers than requests', one);
    for (const mark of marksIn(received)) {
      if (!bytes.includes(markOf(mark))) this.#found(`an answer to case ${mark}`, one);
    }
    for (const past of this.#cases.keys()) {
      if (this.#cases.size <= LATE) break;
      this.#cases.delete(past);
    }
  }

  stop(): void {
    this.#upstream?.stop();
  }

  #onHead(head: string): void {
    this.requestsArrived++;
    const known = marksIn(head).map((mark) => this.#cases.get(mark));
    // Where the mark was mutated away it may be any of the last ones that has sent it.
    const one =
      known.find((candidate) => candidate !== undefined) ??
      [...this.#cases.values()].find(({ arrived, requests }) => arrived < requests) ??
      this.#current;
    if (!one) return;
    one.arrived++;
    if (one.arrived > one.requests) {
      this.#found(`${one.arrived} requests arrived, ${one.requests} were sent`, one);
    }
  }

  #answer({ head }: Arrived): string {
    const mark = marksIn(head)[0];
    const body = mark === undefined ? 'ok' : markOf(mark);
    const shown = head.startsWith('HEAD ') ? '' : body;
    return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${shown}`;
  }

  #found(what: string, one: Case | undefined): void {
    this.#findings.add({ what, case: one?.number ?? -1, bytes: one?.bytes.slice(0, 2_000) ?? '' });
  }
}

import type { Testbed } from '../testbed.ts';
import { type Random, randomFrom } from '@ephemera/test-support';
import type { Arrived } from './canonical.ts';
import { ClientConnection } from './client-connection.ts';
import { type CountingUpstream, startCountingUpstream } from './counting-upstream.ts';
import { statusesIn } from './exchange.ts';
import { type Findings, increment } from './finding.ts';
import { markOf, marksIn } from './mark.ts';
import { mutate, pick } from './mutate.ts';
import { PASSED, REQUESTS } from './requests.ts';
import { readStrictly } from './strict-requests.ts';

const SEEDS = Object.values(REQUESTS);
const PASSED_SEEDS = PASSED.map((name) => REQUESTS[name]);
/**
 * Requests that arrive late, after their client has disconnected, belong to one of the last cases.
 */
const REMEMBERED_CASES = 3;
/** How long a required response may take. */
const ANSWER_TIMEOUT_MS = 20_000;

interface Case {
  readonly number: number;
  readonly bytes: string;
  /** Requests that the strictest parser finds in the bytes. */
  readonly requests: number;
  readonly isWhole: boolean;
  readonly connection: ClientConnection;
  arrived: number;
}

/** Returns the bytes of a case. They depend only on the seed and the number. */
export function requestCase(seed: number, number: number, id: string): string {
  return makeCase(randomOf(seed, number), number, id);
}

function randomOf(seed: number, number: number): Random {
  return randomFrom(seed ^ Math.imul(number, 0x85ebca6b));
}

function makeCase(random: Random, number: number, id: string): string {
  const path = `/demo/${id}/${markOf(number)}`;
  const from = random(2) === 0 ? PASSED_SEEDS : SEEDS;
  return mutate(pick(from, random)(path), pick(SEEDS, random)(path), random);
}

/** Runs cases one after another, with its own instance that counts the requests. */
export class RequestRunner {
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

  async start(testbed: Testbed): Promise<void> {
    this.#upstream = await startCountingUpstream({
      onHead: (head) => this.#onHead(head),
      onRequest: (request) => this.#answer(request),
      onAmbiguity: (what) =>
        this.#found(`forwarded in a form that is not canonical: ${what}`, this.#current),
    });
    const { address, port } = this.#upstream;
    this.#id = await testbed.ready({ address, port });
  }

  /**
   * Opens the connection of a case and sends its bytes; in one case of four only a part of them.
   */
  async startCase(port: number, seed: number, number: number): Promise<void> {
    const random = randomOf(seed, number);
    const bytes = makeCase(random, number, this.#id);
    const cut = random(4) === 0 ? random(bytes.length + 1) : bytes.length;
    const { requests, complete, fault } = readStrictly(bytes);
    const isWhole = complete === requests && fault === undefined;
    const pieces = [bytes.slice(0, cut), bytes.slice(cut)];
    const connection = new ClientConnection(port, pieces, isWhole ? complete : 0);
    this.#current = { number, bytes, requests, isWhole, connection, arrived: 0 };
    this.#cases.set(number, this.#current);
    await connection.sent();
  }

  sendRest(): void {
    this.#current?.connection.sendRest();
  }

  async answered(): Promise<void> {
    await this.#current?.connection.answered(ANSWER_TIMEOUT_MS);
  }

  /** Checks the case after the proxy has processed it, and closes its connection. */
  end(): void {
    const item = this.#current;
    if (!item) return;
    const { connection, requests, bytes } = item;
    const { received } = connection;
    connection.end();
    const statuses = statusesIn(received);
    for (const status of statuses.length > 0 ? statuses : ['none']) increment(this.#counts, status);
    if (statuses.length > requests + 1) this.#found('more answers than requests', item);
    if (item.isWhole && !connection.closed && !connection.isAnswered) {
      this.#found('neither answered nor closed', item);
    }
    for (const mark of marksIn(received)) {
      if (!bytes.includes(markOf(mark))) this.#found(`an answer to case ${mark}`, item);
    }
    for (const past of this.#cases.keys()) {
      if (this.#cases.size <= REMEMBERED_CASES) break;
      this.#cases.delete(past);
    }
  }

  stop(): void {
    this.#upstream?.stop();
  }

  #onHead(head: string): void {
    this.requestsArrived++;
    const known = marksIn(head).map((mark) => this.#cases.get(mark));
    // If a mutation removed the mark, any of the last cases may have sent the request.
    const item =
      known.find((candidate) => candidate !== undefined) ??
      [...this.#cases.values()].find(({ arrived, requests }) => arrived < requests) ??
      this.#current;
    if (!item) return;
    item.arrived++;
    if (item.arrived > item.requests) {
      const last = JSON.stringify(head.slice(0, 2_000));
      this.#found(`${item.arrived} requests arrived, ${item.requests} were sent: ${last}`, item);
    }
  }

  #answer({ head }: Arrived): string {
    const mark = marksIn(head)[0];
    const body = mark === undefined ? 'ok' : markOf(mark);
    const shown = head.startsWith('HEAD ') ? '' : body;
    return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${shown}`;
  }

  #found(what: string, item: Case | undefined): void {
    this.#findings.add({
      what,
      case: item?.number ?? -1,
      bytes: item?.bytes.slice(0, 2_000) ?? '',
    });
  }
}

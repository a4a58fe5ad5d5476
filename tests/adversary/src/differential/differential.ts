import { readCanonical } from '../fuzz/canonical.ts';
import { readAnswer } from '../fuzz/strict-answers.ts';
import type { Form, Message, Required, Row, To } from './message.ts';
import { isSentIn, type PeerName, PEERS, startPeers } from './peers.ts';
import { type Exchanged, exchangeRaw, readChunks } from './raw-client.ts';
import {
  MARK,
  type Recorded,
  type RecordingUpstream,
  startRecordingUpstream,
} from './recording-upstream.ts';

/** What a proxy did with one message. */
export interface Outcome {
  /** Whether the client has received the complete response of the instance to each request. */
  readonly isDelivered: boolean;
  readonly exchanged: Exchanged;
  readonly recorded: Recorded;
}

export interface Result {
  readonly row: Row;
  readonly name: string;
  readonly form: Form;
  readonly outcomes: Readonly<Record<PeerName, Outcome>>;
  /** Whether both peers deliver what Ephemera does not. */
  readonly isStricter: boolean;
  /** What contradicts the requirement of the row. */
  readonly faults: readonly string[];
}

/** How many messages are in flight at once. */
const CONCURRENCY = 12;
/** A proxy that is silent for this long waits for more bytes, ms. */
const QUIET_MS = 3_000;
const IS_MARKED = new RegExp(`\\r\\n${MARK}\\r\\n`, 'i');
const FORMS: readonly Form[] = ['path', 'host', 'trusted'];

/** Sends each message to Ephemera, nginx and haproxy. */
export async function runDifferential(rows: readonly Row[]): Promise<Result[]> {
  const cases = rows.flatMap((row) =>
    Object.entries(row.messages).flatMap(([name, message]) =>
      FORMS.filter((form) => isSentIn(message, form)).map((form) => ({ row, name, message, form })),
    ),
  );
  const upstreams = await startUpstreams();
  const portsOf = (peer: PeerName) => upstreams[peer].map(({ port }) => port);
  const peers = await startPeers({
    ephemera: portsOf('ephemera'),
    nginx: portsOf('nginx'),
    haproxy: portsOf('haproxy'),
  });
  try {
    const results: Result[] = [];
    let next = 0;
    const work = async (index: number) => {
      for (let item = cases[next++]; item; item = cases[next++]) {
        const { row, name, message, form } = item;
        const to = peers.to(form, index);
        const run = async (peer: PeerName) => {
          const upstream = upstreams[peer][index];
          if (!upstream) throw new Error(`${peer} has no upstream ${index}`);
          const port = peers.port(peer, form, index);
          return await sendTo({ port, upstream }, row, message, to, peer === 'ephemera');
        };
        const [ephemera, nginx, haproxy] = await Promise.all([
          run('ephemera'),
          run('nginx'),
          run('haproxy'),
        ]);
        const isStricter = nginx.isDelivered && haproxy.isDelivered && !ephemera.isDelivered;
        const faults = faultsOf(row, message, to, ephemera);

        results.push({
          row,
          name,
          form,
          outcomes: { ephemera, nginx, haproxy },
          isStricter,
          faults,
        });
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, (_, index) => work(index)));
    return results;
  } finally {
    await peers.stop();
    for (const upstream of PEERS.flatMap((peer) => upstreams[peer])) upstream.stop();
  }
}

type Upstreams = Readonly<Record<PeerName, readonly RecordingUpstream[]>>;

async function startUpstreams(): Promise<Upstreams> {
  const start = async () =>
    await Promise.all(Array.from({ length: CONCURRENCY }, startRecordingUpstream));
  return { ephemera: await start(), nginx: await start(), haproxy: await start() };
}

/** The port of a proxy, and the upstream behind it. */
interface Endpoint {
  readonly port: number;
  readonly upstream: RecordingUpstream;
}

async function sendTo(
  { port, upstream }: Endpoint,
  { required }: Row,
  message: Message,
  to: To,
  isJudged: boolean,
): Promise<Outcome> {
  upstream.begin(message, to);
  const bytes = message.send(to);
  const exchanged = await exchangeRaw({
    port,
    steps: typeof bytes === 'string' ? [bytes] : bytes,
    method: message.method ?? 'GET',
    responses: message.requests ?? 1,
    untilClosed: isJudged && required.kind === 'cut',
    quietMs: QUIET_MS,
  });
  return {
    isDelivered: isDelivered(exchanged, required, message),
    exchanged,
    recorded: upstream.recorded(),
  };
}

/** Statuses of a proxy that could not deliver the response of the instance. */
const PROXY_STATUSES = [400, 408, 417, 426, 431, 500, 501, 502, 503, 504, 505];

/** Whether each response is complete and that of the instance. */
function isDelivered({ responses }: Exchanged, required: Required, message: Message): boolean {
  if (responses.length < (message.requests ?? 1)) return false;
  if (!responses.every(({ isComplete }) => isComplete)) return false;
  // The default response names itself. One that a message gives is known by its content.
  if (!message.reply) return responses.every(({ head }) => IS_MARKED.test(head));
  return responses.every(
    ({ status, body }) =>
      body === (message.received ?? body) &&
      (required.kind === 'delivered'
        ? status === required.status
        : !PROXY_STATUSES.includes(status)),
  );
}

/** Returns what contradicts the requirement of a row in Ephemera's outcome. */
function faultsOf(row: Row, message: Message, to: To, outcome: Outcome): string[] {
  const { required } = row;
  const { exchanged, recorded } = outcome;
  const faults: string[] = [];
  const statuses = exchanged.responses.map(({ status }) => status);
  const shown = statuses.join(' ') || 'no response';
  const requests = message.requests ?? 1;
  const streams = recorded.connections.map(readCanonical);
  const arrived = streams.flatMap((stream) => stream.arrived);
  for (const { ambiguity } of streams) {
    if (ambiguity !== undefined) faults.push(`not canonical at the instance: ${ambiguity}`);
  }
  // A request without a response may be sent once more where its connection broke.
  const isRetried = message.reply !== undefined && statuses.every((status) => status !== 504);
  const started = recorded.connections.join('').match(/^[A-Z-]+ \S+ HTTP\/1\.1\r$/gm)?.length ?? 0;
  if (arrived.length > requests * (isRetried ? 2 : 1)) {
    faults.push(`${arrived.length} requests at the instance instead of ${requests}`);
  }
  if (required.kind === 'refused') {
    if (!required.statuses.includes(statuses[0] ?? 0) || statuses.length !== 1) {
      faults.push(`${shown} instead of ${required.statuses.join(' or ')}`);
    }
    if (!message.reply && !required.reaches && started > 0) faults.push('it reached the instance');
    if (!message.reply && arrived.length > 0) faults.push('all of it reached the instance');
  } else if (required.kind === 'cut') {
    const last = exchanged.responses.at(-1);
    if (exchanged.ended === undefined) faults.push('the connection stays open');
    if (last?.isComplete === true && exchanged.ended === 'end') {
      faults.push('the connection ended cleanly');
    }
  } else {
    if (!outcome.isDelivered) faults.push(`${shown}, not the instance's response`);
    else if (statuses.some((status) => status !== required.status)) {
      faults.push(`${shown} instead of ${required.status}`);
    }
    const all = recorded.connections.join('');
    for (const pattern of message.arrives ?? []) {
      if (!pattern.test(all))
        faults.push(`the instance did not see ${String(pattern).slice(0, 80)}`);
    }
    if (message.absent?.test(all)) faults.push(`the instance saw ${String(message.absent)}`);
    if (message.body !== undefined) {
      const sent = arrived[0];
      const isChunked = /\r\ntransfer-encoding:/i.test(sent?.head ?? '');
      const body = isChunked ? readChunks(sent?.body ?? '').text : (sent?.body ?? '');
      if (body !== message.body) faults.push(`the body is ${JSON.stringify(body).slice(0, 60)}`);
    }
    for (const pattern of message.fields?.(to) ?? []) {
      if (!pattern.test(exchanged.received))
        faults.push(`the client did not see ${String(pattern)}`);
    }
    if (message.missing?.test(exchanged.received)) {
      faults.push(`the client saw ${String(message.missing)}`);
    }
    if (requests === 1 && required.status !== 101) {
      const answer = readAnswer(
        exchanged.received,
        message.method ?? 'GET',
        exchanged.ended === 'end',
      );
      if (answer.kind === 'wrong') faults.push(`not canonical at the client: ${answer.reason}`);
      if (answer.kind === 'whole' && answer.surplus > 0)
        faults.push(`${answer.surplus} bytes too many`);
    }
  }
  return faults;
}

/** Describes an outcome in a few words. */
export function describeOutcome({ exchanged, recorded, isDelivered }: Outcome): string {
  const statuses = exchanged.responses.map(
    ({ status, isComplete }) => `${status}${isComplete ? '' : '…'}`,
  );
  const end = exchanged.ended === undefined ? '' : `, ${exchanged.ended}`;
  return `${statuses.join(' ') || 'nothing'}${end}, ${recorded.connections.length} up${isDelivered ? ', delivered' : ''}`;
}

import { ApiError, isDead } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { linesAfter, positionAfter } from './host-rpc.ts';
import type {
  HostReplyTo,
  HostRequestInput,
  HostRpc,
  LogLine,
  LogPage,
  LogPosition,
  Usage,
} from './host-rpc.ts';
import type { Instances } from './ports.ts';

/** What a worker of an instance's host does for a client: its log, its usage, pause and resume. */
export interface HostOperationPorts {
  readonly instances: Pick<Instances, 'get'>;
  readonly hostRpc: HostRpc;
}

export interface LogPorts extends HostOperationPorts {
  readonly logArchive: {
    /** The last lines of an ended instance. Undefined: none are stored. */
    read(id: string): Promise<readonly LogLine[] | undefined>;
  };
}

/** How often a request is repeated for an instance whose generation changes meanwhile. */
const MAX_REPEATS = 3;

/**
 * Sends a request to the host of an instance, for its current generation. Returns the instance of the
 * last attempt, and no reply if it has no host, or is dead.
 */
async function requestOf<T extends HostRequestInput>(
  { hostRpc, instances }: HostOperationPorts,
  asked: Instance,
  request: T,
): Promise<{ instance: Instance; reply: HostReplyTo<T> | undefined }> {
  let instance = asked;
  for (let repeats = 0; ; repeats++) {
    const { id, generation, host, state } = instance;
    if (host === undefined || isDead(state)) return { instance, reply: undefined };
    const reply = await hostRpc.request<T>(host, { ...request, id, generation });
    if (reply?.kind !== 'superseded' || repeats >= MAX_REPEATS) return { instance, reply };
    const current = await instances.get(id);
    if (!current) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    instance = current;
  }
}

/** The pauses between two reads of a followed log without new lines, ms. */
const INITIAL_LOG_PAUSE_MS = 100;
const MAX_LOG_PAUSE_MS = 1_000;

/**
 * Yields the lines of an instance's log, one page at a time: from its host while it has a
 * container, then from the archive. A page is read only when the consumer asks for it.
 * @param wait resolves after a time, or when the signal aborts
 * @throws ApiError host_unavailable
 */
export async function* followLog(
  ports: LogPorts,
  id: string,
  { follow, tail }: { readonly follow: boolean; readonly tail?: number | undefined },
  signal: AbortSignal,
  wait: (ms: number, signal: AbortSignal) => Promise<void>,
): AsyncGenerator<readonly LogLine[]> {
  let place: LogPosition | undefined;
  let pause = INITIAL_LOG_PAUSE_MS;
  while (!signal.aborted) {
    const instance = await ports.instances.get(id);
    if (!instance) return;
    const { lines, more } = await readLogPage(ports, instance, place, tail);
    yield lines;
    place = positionAfter(place, lines);
    if (more) continue;
    if (!follow || isDead(instance.state)) return;
    pause = lines.length > 0 ? INITIAL_LOG_PAUSE_MS : Math.min(pause * 2, MAX_LOG_PAUSE_MS);
    await wait(pause, signal);
  }
}

/**
 * Reads the next lines of an instance's log.
 * @param after the position that the last page ended at; undefined: the first page
 * @param tail maximum number of lines of the first page, counted from the end; undefined: all
 * @throws ApiError host_unavailable
 */
export async function readLogPage(
  ports: LogPorts,
  asked: Instance,
  after: LogPosition | undefined,
  tail: number | undefined,
): Promise<LogPage> {
  const wanted = after ? { after } : { tail };
  const { instance, reply } = await requestOf(ports, asked, { op: 'logs', ...wanted });
  if (instance.host !== undefined && !isDead(instance.state)) {
    if (!reply || reply.kind === 'failed') throw new ApiError({ kind: 'host_unavailable' });
    if (reply.kind === 'done') return reply.value;
  }
  // The container does not exist yet or any more. Its last lines were archived before its removal.
  const kept = (await ports.logArchive.read(asked.id)) ?? [];
  const last = tail === undefined ? kept : kept.slice(Math.max(0, kept.length - tail));
  return { lines: after ? linesAfter(after, kept) : last, more: false };
}

/** Generates the text of log pages. @param timestamps whether each line begins with its time */
export async function* logText(
  first: IteratorResult<readonly LogLine[]>,
  rest: AsyncGenerator<readonly LogLine[]>,
  timestamps: boolean,
): AsyncGenerator<string> {
  // A long line arrives in several parts. Only the first part gets a timestamp.
  const isMidLine = new Map<string, boolean>();
  try {
    for (let page = first; page.done !== true; page = await rest.next()) {
      let text = '';
      for (const line of page.value) {
        if (timestamps && !isMidLine.get(line.stream)) text += `${line.time} `;
        isMidLine.set(line.stream, !line.text.endsWith('\n'));
        text += line.text;
      }
      if (text !== '') yield text;
    }
  } finally {
    await rest.return(undefined);
  }
}

/**
 * Reads what the container of an instance uses now.
 * @throws ApiError gone, conflict without a running container, host_unavailable
 */
export async function readUsageOf(ports: HostOperationPorts, asked: Instance): Promise<Usage> {
  const { instance, reply } = await requestOf(ports, asked, { op: 'stats' });
  const { id, host, state, reason = 'request', message } = instance;
  if (isDead(state)) throw new ApiError({ kind: 'gone', id, reason, message });
  if (host === undefined || reply?.kind === 'absent') {
    throw new ApiError({
      kind: 'conflict',
      detail: `The instance is ${state}: it has no running container.`,
    });
  }
  if (reply?.kind !== 'done') throw new ApiError({ kind: 'host_unavailable' });
  return reply.value;
}

/**
 * Pauses or resumes an instance through a worker of its host. Returns the instance afterwards.
 * @throws ApiError not_found, gone, conflict, host_unavailable
 */
export async function suspendInstance(
  ports: HostOperationPorts,
  asked: Instance,
  op: 'pause' | 'resume',
): Promise<Instance> {
  const { id, host } = asked;
  const { reply } = await requestOf(ports, asked, { op });
  const instance = await ports.instances.get(id);
  if (!instance) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
  const { state, reason = 'request', message } = instance;
  if (isDead(state) || state === 'draining') {
    throw new ApiError({ kind: 'gone', id, reason, message });
  }
  if (state === (op === 'pause' ? 'paused' : 'ready')) return instance;
  if (host !== undefined && reply?.kind !== 'done') {
    throw new ApiError({ kind: 'host_unavailable' });
  }
  throw new ApiError({
    kind: 'conflict',
    detail: `This is not possible while the instance is ${state}.`,
  });
}

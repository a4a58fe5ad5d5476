import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { adminRoutes, toResource } from '@ephemera/contract';
import type { LogsQuery } from '@ephemera/contract';
import { ApiError, isDead, principalKey } from '@ephemera/domain';
import type { Instance } from '@ephemera/domain';
import { principalOf, route } from '@ephemera/http';
import type { BoundRoute, TokenSet } from '@ephemera/http';
import { linesAfter, positionAfter } from '@ephemera/lifecycle';
import type { LogLine, HostRpc, LogPage, LogPosition } from '@ephemera/lifecycle';
import type { InstanceStore, LogArchive, Rates } from '@ephemera/store';
import { INITIAL_LOG_PAUSE_MS, MAX_LOG_PAUSE_MS } from '../limits.ts';
import { countChange } from '../starting/count-request.ts';
import type { Starter } from '../starting/start-instance.ts';
import { abortWhenRevoked } from './authorize.ts';

export interface InstanceOperations extends LogPorts {
  readonly tokens: Pick<TokenSet, 'named'>;
  /** Aborts when the replica stops. It ends followed logs. */
  readonly stopping: AbortSignal;
  readonly starter: Pick<Starter, 'templates'>;
  readonly rates: Rates;
}

/**
 * `/v1/instances/{id}/logs`, `/stats`, `/pause` and `/resume`: operations that a worker of the
 * instance's host performs.
 */
export function instanceOperationRoutes(ports: InstanceOperations): BoundRoute[] {
  const readLog = route(adminRoutes.readLog, async (ctx, { params, query }) => {
    const { id } = await known(params.id);
    // A log that is not followed is sent in full, even while the replica stops.
    const stopping = query.follow ? ports.stopping : undefined;
    const pages = followLog(ports, id, query, abortWhenRevoked(ctx, ports.tokens, stopping));
    // Read the first page before the response starts, so that an error can still set the status.
    const first = await pages.next();
    ctx.status = 200;
    ctx.type = 'text/plain; charset=utf-8';
    ctx.set('x-accel-buffering', 'no');
    ctx.flushHeaders();
    ctx.body = Readable.from(textOf(first, pages, query.timestamps), { objectMode: false });
  });

  const readUsage = route(adminRoutes.readUsage, async (ctx, { params }) => {
    const { id, host, state, reason = 'request', message } = await known(params.id);
    if (isDead(state)) throw new ApiError({ kind: 'gone', id, reason, message });
    const reply =
      host === undefined ? undefined : await ports.hostRpc.request(host, { op: 'stats', id });
    if (host === undefined || reply?.kind === 'absent') {
      throw new ApiError({
        kind: 'conflict',
        detail: `The instance is ${state}: it has no running container.`,
      });
    }
    if (reply?.kind !== 'done') throw new ApiError({ kind: 'host_unavailable' });
    ctx.body = reply.value;
  });

  const suspensions = (['pause', 'resume'] as const).map((op) =>
    route(adminRoutes[`${op}Instance`], async (ctx, { params }) => {
      const { quotas } = ports.starter.templates;
      await countChange(ctx, ports.rates, quotas, principalKey(principalOf(ctx)));
      ctx.body = toResource(await suspendInstance(ports, await known(params.id), op));
    }),
  );

  return [readLog, readUsage, ...suspensions];

  async function known(id: string): Promise<Instance> {
    const found = await ports.instances.get(id);
    if (!found) throw new ApiError({ kind: 'not_found', what: 'instance of this id' });
    return found;
  }
}

async function* textOf(
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
 * Pauses or resumes an instance through a worker of its host. Returns the instance afterwards.
 * @throws ApiError gone, conflict, host_unavailable
 */
async function suspendInstance(
  { hostRpc, instances }: Omit<LogPorts, 'logArchive'>,
  { id, host }: Instance,
  op: 'pause' | 'resume',
): Promise<Instance> {
  const reply = host === undefined ? undefined : await hostRpc.request(host, { op, id });
  const instance = await instances.get(id);
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

export interface LogPorts {
  readonly instances: Pick<InstanceStore, 'get'>;
  readonly hostRpc: HostRpc;
  readonly logArchive: Pick<LogArchive, 'read'>;
}

/**
 * Yields the lines of an instance's log, one page at a time: from its host while it has a
 * container, then from the archive. A page is read only when the consumer asks for it.
 * @throws ApiError host_unavailable
 */
async function* followLog(
  ports: LogPorts,
  id: string,
  { follow, tail }: Pick<LogsQuery, 'follow' | 'tail'>,
  signal: AbortSignal,
): AsyncGenerator<readonly LogLine[]> {
  let place: LogPosition | undefined;
  let pause = INITIAL_LOG_PAUSE_MS;
  while (!signal.aborted) {
    const instance = await ports.instances.get(id);
    if (!instance) return;
    const { lines, more } = await readPage(ports, instance, place, tail);
    yield lines;
    place = positionAfter(place, lines);
    if (more) continue;
    if (!follow || isDead(instance.state)) return;
    pause = lines.length > 0 ? INITIAL_LOG_PAUSE_MS : Math.min(pause * 2, MAX_LOG_PAUSE_MS);
    await sleep(pause, undefined, { signal }).catch(() => undefined);
  }
}

async function readPage(
  { hostRpc, logArchive }: LogPorts,
  { id, host, state }: Instance,
  after: LogPosition | undefined,
  tail: number | undefined,
): Promise<LogPage> {
  if (host !== undefined && !isDead(state)) {
    const wanted = after ? { after } : { tail };
    const reply = await hostRpc.request(host, { op: 'logs', id, ...wanted });
    if (!reply || reply.kind === 'failed') throw new ApiError({ kind: 'host_unavailable' });
    if (reply.kind === 'done') return reply.value;
  }
  // The container does not exist yet or any more. Its last lines were archived before its removal.
  const kept = (await logArchive.read(id)) ?? [];
  const last = tail === undefined ? kept : kept.slice(Math.max(0, kept.length - tail));
  return { lines: after ? linesAfter(after, kept) : last, more: false };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type {
  CreateRequest,
  EventResource,
  HostResource,
  InstancePage,
  InstanceDetail,
  InstanceResource,
  LinkRequest,
  LinkResource,
  Problem,
  RenewedResource,
  StatsResource,
  TemplateResource,
  UsageResource,
} from '@ephemera/contract';
import { BootError } from '@ephemera/domain';
import type { Hint } from '@ephemera/domain';

/** No control API answers, or it answers with a 5xx status. The same call may succeed later. */
export class ApiUnavailableError extends BootError {
  override readonly name = 'ApiUnavailableError';
}

/** A new instance. `link` is its URL with the access token, if it is guarded. */
export type Created = InstanceResource & { readonly link?: string };

/**
 * The calls of the control API that the command line uses. Every failure is a one-line `BootError`.
 */
export interface AdminApi {
  /** @param waitSeconds how long to wait for the instance to be ready; 0: not at all */
  create(request: CreateRequest, waitSeconds: number): Promise<Created>;
  /** Every instance, from all pages. */
  list(): Promise<InstanceResource[]>;
  get(id: string): Promise<InstanceDetail>;
  /**
   * Moves the deadline to the given number of seconds from now. Returns what was done. Fails if that is
   * earlier and `shorten` is not set.
   */
  renew(id: string, seconds: number, shorten: boolean): Promise<RenewedResource>;
  /** Starts to end an instance. Succeeds for an instance that has already ended. */
  kill(id: string): Promise<void>;
  /** Pauses or resumes an instance. Repeating it succeeds. */
  suspend(id: string, action: 'pause' | 'resume'): Promise<InstanceResource>;
  usage(id: string): Promise<UsageResource>;
  stats(): Promise<StatsResource>;
  /**
   * Passes on each event as it arrives, from now on. Reconnects after the last event, and ends only
   * by an error.
   * @param query filters of `GET /v1/events`
   * @param onGap called where events are no longer stored
   */
  events(
    query: URLSearchParams,
    onEvent: (event: EventResource) => void,
    onGap: () => void,
  ): Promise<never>;
  /**
   * Forwards the log of an instance as it arrives. With `follow` in the query, until the instance
   * ends.
   */
  logs(id: string, query: URLSearchParams, onChunk: (text: string) => void): Promise<void>;
  /** Creates a signed link by which visitors start instances. */
  link(request: LinkRequest): Promise<LinkResource>;
  /** Starts to end all instances. Returns their number. */
  killAll(): Promise<number>;
  templates(): Promise<readonly TemplateResource[]>;
  /** Every Docker host, by name. */
  hosts(): Promise<readonly HostResource[]>;
  host(name: string): Promise<HostResource>;
  /** Cordons a host, or removes its cordon. */
  setCordon(name: string, action: 'cordon' | 'uncordon'): Promise<HostResource>;
  /** @param seconds from now until the instances that are left are ended; undefined: never */
  drainHost(name: string, seconds: number | undefined): Promise<HostResource>;
}

const TIMEOUT_MS = 15_000;
/** The pause before a stream of events is continued, ms. */
const RECONNECT_MS = 1_000;
/** How long a stream of events is retried while no control API answers, ms. */
const MAX_DOWN_MS = 60_000;

export function createAdminApi(baseUrl: string, token: string | undefined): AdminApi {
  async function send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return await fetch(new URL(path, baseUrl), { ...init, headers }).catch((error: unknown) => {
      throw new ApiUnavailableError(
        `No control API answers at ${baseUrl} (${reasonOf(error)}). Start Ephemera, or set EPHEMERA_ADMIN_URL.`,
      );
    });
  }
  /** The complete body. A replica that stops, or a balancer, may cut it. */
  const textOf = (response: Response): Promise<string> =>
    response.text().catch((error: unknown) => {
      throw new ApiUnavailableError(
        `The response of the control API at ${baseUrl} is incomplete (${reasonOf(error)}).`,
      );
    });
  async function call(
    method: string,
    path: string,
    more: Partial<CallOptions> = {},
  ): Promise<unknown> {
    const headers = new Headers(more.headers);
    if (more.body !== undefined) headers.set('content-type', 'application/json');
    const response = await send(path, {
      method,
      headers,
      body: more.body === undefined ? null : JSON.stringify(more.body),
      signal: AbortSignal.timeout(TIMEOUT_MS + (more.waitSeconds ?? 0) * 1000),
    });
    const text = await textOf(response);
    if (response.ok) return text === '' ? undefined : JSON.parse(text);
    if (more.accepted?.includes(response.status)) return undefined;
    throw failureOf(response.status, text);
  }
  const hostPath = (name: string) => `/v1/hosts/${encodeURIComponent(name)}`;
  const pathOf = (id: string) => `/v1/instances/${encodeURIComponent(id)}`;

  return {
    async create(body, waitSeconds) {
      const headers: Record<string, string> =
        waitSeconds > 0 ? { prefer: `wait=${waitSeconds}` } : {};
      const made = await call('POST', '/v1/instances', { body, headers, waitSeconds });
      return made as Created;
    },
    async list() {
      const items: InstanceResource[] = [];
      let cursor: string | undefined;
      do {
        const query = cursor ? `?${new URLSearchParams({ cursor }).toString()}` : '';
        const page = (await call('GET', `/v1/instances${query}`)) as InstancePage;
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor);
      return items;
    },
    async get(id) {
      return (await call('GET', pathOf(id))) as InstanceDetail;
    },
    async renew(id, timeout, shorten) {
      const body = { timeout, ...(shorten && { shorten }) };
      return (await call('POST', `${pathOf(id)}/renew`, { body })) as RenewedResource;
    },
    async kill(id) {
      await call('DELETE', pathOf(id), { accepted: [410] });
    },
    async suspend(id, action) {
      return (await call('POST', `${pathOf(id)}/${action}`)) as InstanceResource;
    },
    async usage(id) {
      return (await call('GET', `${pathOf(id)}/stats`)) as UsageResource;
    },
    async stats() {
      return (await call('GET', '/v1/stats')) as StatsResource;
    },
    async events(query, onEvent, onGap) {
      let last = '';
      let lostAt: number | undefined;
      for (;;) {
        if (lostAt !== undefined) await sleep(RECONNECT_MS);
        const response = await send(`/v1/events?${query.toString()}`, {
          headers: last === '' ? {} : { 'last-event-id': last },
        }).catch((error: unknown) => {
          if (error instanceof ApiUnavailableError) return error;
          throw error;
        });
        const isDown = response instanceof Error || response.status >= 500;
        // A replica that restarts is down for some seconds. The first connection must succeed.
        if (isDown && lostAt !== undefined && performance.now() < lostAt + MAX_DOWN_MS) continue;
        if (response instanceof Error) throw response;
        if (!response.ok) throw failureOf(response.status, await textOf(response));
        for await (const { id, event, data } of serverSentEvents(response)) {
          if (id !== undefined) last = id;
          if (event === 'gap') onGap();
          else if (data !== undefined) onEvent(JSON.parse(data) as EventResource);
        }
        lostAt = performance.now();
      }
    },
    async logs(id, query, onChunk) {
      const response = await send(`${pathOf(id)}/logs?${query.toString()}`, {});
      if (!response.ok) throw failureOf(response.status, await textOf(response));
      for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? [])
        onChunk(text);
    },
    async link(body) {
      return (await call('POST', '/v1/links', { body })) as LinkResource;
    },
    async templates() {
      const list = (await call('GET', '/v1/templates')) as { items: TemplateResource[] };
      return list.items;
    },
    async hosts() {
      return ((await call('GET', '/v1/hosts')) as { items: HostResource[] }).items;
    },
    async host(name) {
      return (await call('GET', hostPath(name))) as HostResource;
    },
    async setCordon(name, action) {
      return (await call('POST', `${hostPath(name)}/${action}`)) as HostResource;
    },
    async drainHost(name, timeout) {
      const body = timeout === undefined ? {} : { timeout };
      return (await call('POST', `${hostPath(name)}/drain`, { body })) as HostResource;
    },
    async killAll() {
      return ((await call('DELETE', '/v1/instances')) as { ended: number }).ended;
    },
  };
}

interface CallOptions {
  readonly body: unknown;
  readonly headers: Record<string, string>;
  readonly waitSeconds: number;
  /** Additional statuses that count as success. */
  readonly accepted: readonly number[];
}

/**
 * The fields of a stream of server-sent events (WHATWG HTML section 9.2). Comments have none. Ends
 * where the stream is cut: a replica that stops, or a balancer, may do that.
 */
async function* serverSentEvents(
  response: Response,
): AsyncGenerator<Readonly<Record<'id' | 'event' | 'data', string | undefined>>> {
  let text = '';
  try {
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n');
        text = text.slice(end + 2);
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        yield { id: field('id'), event: field('event'), data: field('data') };
      }
    }
  } catch (error) {
    // A failed read. An error of the consumer is not caught here: it ends the generator at its yield.
    if (!(error instanceof TypeError)) throw error;
  }
}

/** The message of fetch is only "fetch failed"; the reason is in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
  return cause?.code ?? cause?.message ?? message;
}

/** `Hint: …`, with the lines of the template below it. */
export function hintText({ text, cure }: Hint): string {
  const lines = cure?.split('\n').map((line) => `    ${line}`) ?? [];
  return [`Hint: ${text}`, ...(lines.length > 0 ? ['In the template:', ...lines] : [])].join('\n');
}

function failureOf(status: number, body: string): BootError {
  const message = explain(status, body);
  return status >= 500 ? new ApiUnavailableError(message) : new BootError(message);
}

/** Returns the message for an error response. */
export function explain(status: number, body: string): string {
  if (status === 401) {
    return 'The control API refused the token. Set EPHEMERA_ADMIN_TOKEN to a token of this deployment.';
  }
  try {
    const { title, detail, hint } = JSON.parse(body) as Partial<Problem>;
    const sentence = [title, detail].filter(Boolean).join(': ');
    if (title !== undefined) return [sentence, hint && hintText(hint)].filter(Boolean).join('\n');
  } catch {
    // Not JSON: the server at this address is not the control API.
  }
  return `The control API answered ${status}.`;
}

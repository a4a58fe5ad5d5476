import type {
  CreateRequest,
  InstancePage,
  InstanceResource,
  LinkRequest,
  LinkResource,
  Problem,
} from '@ephemera/contract';
import { BootError } from '@ephemera/domain';

/** A new instance, with the address that opens it where it is guarded. */
export type Created = InstanceResource & { readonly link?: string };

/** What this program asks of the control API. Every refusal is a `BootError` of one line. */
export interface AdminApi {
  /** @param waitSeconds how long to wait for the instance to be ready; 0: not at all */
  create(asked: CreateRequest, waitSeconds: number): Promise<Created>;
  /** Every instance, from all pages. */
  list(): Promise<InstanceResource[]>;
  get(id: string): Promise<InstanceResource>;
  /** Moves the deadline to so many seconds from now; with its new lease. */
  renew(id: string, seconds: number): Promise<InstanceResource>;
  /** Begins to end an instance; one that is dead already is no fault. */
  kill(id: string): Promise<void>;
  /** Hands on the log of an instance as it comes, until it ends where it is followed. */
  logs(id: string, query: URLSearchParams, onProgress: (text: string) => void): Promise<void>;
  /** Makes a signed link, by which visitors start instances. */
  link(asked: LinkRequest): Promise<LinkResource>;
  /** Begins to end all; their number. */
  killAll(): Promise<number>;
}

const responseTimeoutMs = 15_000;

export function createAdminApi(baseUrl: string, token: string | undefined): AdminApi {
  async function reach(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
    return await fetch(new URL(path, baseUrl), { ...init, headers }).catch((error: unknown) => {
      throw new BootError(`No control API answers at ${baseUrl} (${reasonOf(error)}).`);
    });
  }
  async function ask(
    method: string,
    path: string,
    more: Partial<ApiRequest> = {},
  ): Promise<unknown> {
    const headers = new Headers(more.headers);
    if (more.body !== undefined) headers.set('content-type', 'application/json');
    const response = await reach(path, {
      method,
      headers,
      body: more.body === undefined ? null : JSON.stringify(more.body),
      signal: AbortSignal.timeout(responseTimeoutMs + (more.waitSeconds ?? 0) * 1000),
    });
    const text = await response.text();
    if (response.ok) return text === '' ? undefined : JSON.parse(text);
    if (more.accepted?.includes(response.status)) return undefined;
    throw new BootError(explain(response.status, text));
  }
  const item = (id: string) => `/v1/instances/${encodeURIComponent(id)}`;

  return {
    async create(body, waitSeconds) {
      const headers: Record<string, string> =
        waitSeconds > 0 ? { prefer: `wait=${waitSeconds}` } : {};
      const made = await ask('POST', '/v1/instances', { body, headers, waitSeconds });
      return made as Created;
    },
    async list() {
      const items: InstanceResource[] = [];
      let cursor: string | undefined;
      do {
        const query = cursor ? `?${new URLSearchParams({ cursor }).toString()}` : '';
        const page = (await ask('GET', `/v1/instances${query}`)) as InstancePage;
        items.push(...page.items);
        cursor = page.nextCursor;
      } while (cursor);
      return items;
    },
    async get(id) {
      return (await ask('GET', item(id))) as InstanceResource;
    },
    async renew(id, timeout) {
      return (await ask('POST', `${item(id)}/renew`, { body: { timeout } })) as InstanceResource;
    },
    async kill(id) {
      await ask('DELETE', item(id), { accepted: [410] });
    },
    async logs(id, query, onProgress) {
      const response = await reach(`${item(id)}/logs?${query.toString()}`, {});
      if (!response.ok) throw new BootError(explain(response.status, await response.text()));
      for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? [])
        onProgress(text);
    },
    async link(body) {
      return (await ask('POST', '/v1/links', { body })) as LinkResource;
    },
    async killAll() {
      return ((await ask('DELETE', '/v1/instances')) as { ended: number }).ended;
    },
  };
}

interface ApiRequest {
  readonly body: unknown;
  readonly headers: Record<string, string>;
  readonly waitSeconds: number;
  /** Statuses beside 2xx that are no fault. */
  readonly accepted: readonly number[];
}

/** fetch says only "fetch failed"; what went wrong is its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException };
  return cause?.code ?? cause?.message ?? message;
}

/** A problem+json answer in words. */
export function explain(status: number, body: string): string {
  if (status === 401) {
    return 'The control API refuses the token; EPHEMERA_ADMIN_TOKEN must be that of the deployment.';
  }
  try {
    const { title, detail } = JSON.parse(body) as Partial<Problem>;
    if (title !== undefined) return [title, detail].filter(Boolean).join(': ');
  } catch {
    // Not JSON: something else than the control API has answered.
  }
  return `The control API answered ${status}.`;
}

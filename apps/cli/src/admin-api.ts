import {
  ConnectionError,
  EphemeraError,
  ProblemError,
  StartFailedError,
  StreamCutError,
  UnexpectedResponseError,
  createClient,
} from '@ephemera/client';
import type {
  CreateOptions,
  CreateRequest,
  EventFilter,
  Instance,
  LinkRequest,
  LogOptions,
  NameMatch,
  PutNameOptions,
  PutNameRequest,
  RunningCommand,
  SpawnOptions,
} from '@ephemera/client';
import type {
  EventResource,
  HostResource,
  InstanceDetail,
  InstanceResource,
  LinkResource,
  NameResource,
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

/** An instance was created, and is not known to be ready or to have ended. */
export class StartUnfinishedError extends BootError {
  override readonly name = 'StartUnfinishedError';
  /** As it was last read, with what only the response to its creation contains. */
  readonly instance: Created;

  constructor(message: string, instance: Created, options: ErrorOptions) {
    super(message, options);
    this.instance = instance;
  }
}

/** Receives the steps of a start. */
export type OnProgress = NonNullable<CreateOptions['onProgress']>;

/** A new instance. `link` is its URL with the access token, if it is guarded. */
export type Created = InstanceResource & { readonly link?: string | undefined };

/** A new instance of a name. `generation` is what its creation gave to the name. */
export type CreatedForName = Created & { readonly name: string; readonly generation: number };

/** The generation that a name must have, or that it must not exist. */
export type NameCondition = Pick<PutNameOptions, 'ifMatch' | 'ifNoneMatch'>;

/**
 * The calls of the control API that the command line uses. Every failure is a one-line `BootError`.
 */
export interface AdminApi {
  /**
   * @param waitSeconds how long to wait for the instance to be ready; 0: not at all
   * @param onProgress called at each step of the start
   * @throws StartUnfinishedError if the instance is not ready in time or cannot be read
   */
  create(request: CreateRequest, waitSeconds: number, onProgress?: OnProgress): Promise<Created>;
  /**
   * Starts an instance for a stable name. Waits, reports and fails as `create`.
   * @param condition what the name must be
   */
  putName(
    name: string,
    request: PutNameRequest,
    condition: NameCondition,
    waitSeconds: number,
    onProgress?: OnProgress,
  ): Promise<CreatedForName>;
  getName(name: string): Promise<NameResource>;
  /** Every stable name, from all pages. */
  listNames(): Promise<NameResource[]>;
  /** Forgets a stable name, and starts to end its instances. */
  removeName(name: string, ifMatch: NameMatch | undefined): Promise<void>;
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
   * @param onGap called where events are no longer stored
   */
  events(
    filter: EventFilter,
    onEvent: (event: EventResource) => void,
    onGap: () => void,
  ): Promise<never>;
  /** Forwards the log of an instance as it arrives. With `follow`, until the instance ends. */
  logs(id: string, options: LogOptions, onChunk: (text: string) => void): Promise<void>;
  /**
   * Starts a command in an instance. Every call on it fails with a `BootError` too.
   */
  spawn(id: string, cmd: readonly string[], options: SpawnOptions): Promise<RunningCommand>;
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

/** @param token undefined: requests without one */
export function createAdminApi(baseUrl: string, token: string | undefined): AdminApi {
  // A person sees a failure at once, and decides whether to repeat the command.
  const client = createClient({ url: baseUrl, token, retries: 0 });
  return {
    create: (body, waitSeconds, onProgress) =>
      explained(async () => {
        const instance = await client.create(body, { waitMs: 0, keep: true });
        return whenReady(instance, {}, waitSeconds, onProgress);
      }),
    putName: (name, body, condition, waitSeconds, onProgress) =>
      explained(async () => {
        const instance = await client.names.put(name, body, { waitMs: 0, ...condition });
        const { generation } = instance;
        return whenReady(instance, { name, generation }, waitSeconds, onProgress);
      }),
    getName: (name) => explained(() => client.names.get(name)),
    listNames: () =>
      explained(async () => {
        const items: NameResource[] = [];
        for await (const name of client.names.list()) items.push(name);
        return items;
      }),
    removeName: (name, ifMatch) => explained(() => client.names.delete(name, { ifMatch })),
    list: () =>
      explained(async () => {
        const items: InstanceResource[] = [];
        for await (const { data } of client.list()) items.push(data);
        return items;
      }),
    get: (id) => explained(async () => (await client.get(id)).data),
    renew: (id, timeout, shorten) =>
      explained(() => client.renew(id, { timeout, ...(shorten && { shorten }) })),
    kill: (id) => explained(() => client.kill(id)),
    suspend: (id, action) => explained(() => client[action](id)),
    usage: (id) => explained(() => client.usage(id)),
    stats: () => explained(() => client.stats()),
    events: (filter, onEvent, onGap) =>
      explained(async () => {
        const stream = client.events({ ...filter, onGap });
        for (;;) onEvent((await stream.next()).value);
      }),
    logs: (id, options, onChunk) =>
      explained(async () => {
        for await (const text of client.logs(id, options)) onChunk(text);
      }),
    spawn: (id, cmd, options) =>
      explained(async () => {
        const command = await client.spawn(id, cmd, options);
        return {
          execId: command.execId,
          async *output() {
            const output = command.output();
            for (;;) {
              const next = await explained(() => output.next());
              if (next.done === true) return next.value;
              yield next.value;
            }
          },
          write: (data) => explained(() => command.write(data)),
          end: () => explained(() => command.end()),
          kill: (signal) => explained(() => command.kill(signal)),
          resize: (columns, rows) => explained(() => command.resize(columns, rows)),
        };
      }),
    link: (request) => explained(() => client.createLink(request)),
    templates: () => explained(() => client.templates()),
    hosts: () => explained(() => client.hosts()),
    host: (name) => explained(() => client.host(name)),
    setCordon: (name, action) => explained(() => client[action](name)),
    drainHost: (name, timeout) => explained(() => client.drain(name, timeout)),
    killAll: () => explained(() => client.killAll()),
  };
}

/**
 * Waits until a new instance is ready. Returns it with what only the response to its creation contains.
 * @param more what the result has in addition
 * @param waitSeconds 0: not at all
 * @throws StartUnfinishedError if it is not ready in time or cannot be read
 */
async function whenReady<T>(
  instance: Instance,
  more: T,
  waitSeconds: number,
  onProgress: OnProgress | undefined,
): Promise<Created & T> {
  const { token: secret, accessToken, link } = instance;
  const created = () => ({ ...instance.data, ...more, token: secret, accessToken, link });
  if (waitSeconds === 0) return created();
  const options = { waitMs: waitSeconds * 1000, ...(onProgress && { onProgress }) };
  try {
    await instance.waitUntilReady(options);
  } catch (error) {
    if (!(error instanceof EphemeraError) || hasEnded(instance.data)) throw error;
    throw new StartUnfinishedError(explain(error), created(), { cause: error });
  }
  return created();
}

function hasEnded({ status: { state } }: InstanceDetail): boolean {
  return state === 'draining' || state === 'gone' || state === 'failed';
}

/** @throws BootError in place of an error of the client */
async function explained<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof EphemeraError)) throw error;
    const BootErrorOf = mayBeTemporary(error) ? ApiUnavailableError : BootError;
    throw new BootErrorOf(explain(error), { cause: error });
  }
}

function mayBeTemporary(error: EphemeraError): boolean {
  if (error instanceof ConnectionError) return true;
  const hasStatus = error instanceof ProblemError || error instanceof UnexpectedResponseError;
  return hasStatus && error.status >= 500;
}

/** `Hint: …`, with the lines of the template below it. */
export function hintText({ text, cure }: Hint): string {
  const lines = cure?.split('\n').map((line) => `    ${line}`) ?? [];
  return [`Hint: ${text}`, ...(lines.length > 0 ? ['In the template:', ...lines] : [])].join('\n');
}

/** Returns the message for an error of the client. */
export function explain(error: EphemeraError): string {
  if (error instanceof StreamCutError) return `${error.message}. Repeat the command.`;
  if (error instanceof ConnectionError) {
    return `${error.message}. Start Ephemera, or set EPHEMERA_ADMIN_URL.`;
  }
  if (error instanceof UnexpectedResponseError) return `The control API answered ${error.status}.`;
  if (error instanceof StartFailedError) {
    const { reason, message = 'The instance could not be started.', hint } = error.instance.status;
    return withHint(reason === 'start_failed' ? `Start failed: ${message}` : error.message, hint);
  }
  if (!(error instanceof ProblemError)) return error.message;
  if (error.status === 401) {
    return 'The control API refused the token. Set EPHEMERA_ADMIN_TOKEN to a token of this deployment.';
  }
  return withHint(error.message, error.problem.hint);
}

function withHint(sentence: string, hint: Hint | undefined): string {
  return [sentence, hint && hintText(hint)].filter(Boolean).join('\n');
}

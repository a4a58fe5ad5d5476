import type { components } from './api-types.ts';
import { createCall } from './call.ts';
import type { Call, CallOptions, ConnectionOptions, Operations } from './call.ts';
import { createAndWait } from './create.ts';
import type { CreateOptions, CreateRequest } from './create.ts';
import { isProblem } from './errors.ts';
import { execCommand, spawnCommand } from './exec.ts';
import type {
  FileContent,
  FileData,
  FileList,
  ReadFileOptions,
  WriteFileOptions,
} from './files.ts';
import { listFiles, moveFile, readFileStream, removeFile, writeFileContent } from './files.ts';
import type { CommandResult, ExecOptions, RunningCommand, SpawnOptions } from './exec.ts';
import { followEvents } from './events.ts';
import type { EventOptions } from './events.ts';
import { Instance } from './instance.ts';
import type {
  InstanceCalls,
  InstanceData,
  LogOptions,
  MoveRequest,
  RenewRequest,
  Renewed,
  Usage,
} from './instance.ts';
import { createNames } from './names.ts';
import type { Names } from './names.ts';
import { textOf } from './stream.ts';
import type { InstanceEvent } from './webhook.ts';

type Schemas = components['schemas'];
/** A template as programs see it. Durations in seconds. */
export type Template = Schemas['TemplateList']['items'][number];
/** How many instances there are in each state, and the capacity that is in use. */
export type Stats = Schemas['Stats'];
/** A Docker host with its capacity, and whether it is cordoned. */
export type Host = Schemas['Host'];
/** What a signed link permits: the template, how many starts, and until when. */
export type LinkRequest = Partial<Schemas['CreateLink']>;
/** A signed link by which visitors start instances. It is a secret. */
export type Link = Schemas['Link'];

/** An instance must match all of them. */
export interface InstanceFilter {
  readonly state?: readonly InstanceData['status']['state'][];
  readonly template?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** An event must match all of them. */
export interface EventFilter {
  readonly instance?: readonly string[];
  readonly template?: readonly string[];
  readonly type?: readonly InstanceEvent['type'][];
}

/**
 * The control API. Every method rejects with a `ProblemError`, a `ConnectionError` or an
 * `UnexpectedResponseError`. Requests that may be repeated are repeated when Redis, a host or the
 * connection is unavailable for a moment.
 */
export interface Client {
  /**
   * Starts an instance and waits until it is ready. A retry cannot start a second one. If it rejects
   * after the creation, the instance is ended, unless an earlier request with `idempotencyKey` created
   * it. After an abort it waits at most two seconds for that.
   * @throws StartFailedError if the instance does not become ready; the reason of the signal
   */
  create(request?: CreateRequest, options?: CreateOptions): Promise<Instance>;
  /** Live instances, oldest first, from all pages. */
  list(filter?: InstanceFilter): AsyncGenerator<Instance, void>;
  /** An instance, also for a while after its end. */
  get(id: string): Promise<Instance>;
  /** Moves the deadline. Fails if it would be earlier and `shorten` is not set. */
  renew(id: string, request: RenewRequest): Promise<Renewed>;
  /** Starts to end an instance. Succeeds for an instance that has already ended. */
  kill(id: string): Promise<void>;
  /**
   * Starts to end the instances that match; without a filter, all. Returns their number. Not repeated
   * by itself.
   */
  killAll(filter?: InstanceFilter): Promise<number>;
  /** Stops the processes of a ready instance, which keep their memory. @throws ProblemError 409 in another state */
  pause(id: string): Promise<InstanceData>;
  /** Continues a paused instance. @throws ProblemError 409 in another state */
  resume(id: string): Promise<InstanceData>;
  /** What an instance uses now. @throws ProblemError `host_unavailable` if its host does not answer */
  usage(id: string): Promise<Usage>;
  /** The log, in pieces of text as they arrive. @throws StreamCutError if it breaks off */
  logs(id: string, options?: LogOptions): AsyncGenerator<string, void>;
  /**
   * Runs a command in a ready instance to its end. No shell is involved. Not repeated by itself.
   * @throws ProblemError `conflict` if the template does not allow commands; `full`; `gone`
   */
  exec(id: string, cmd: readonly string[], options?: ExecOptions): Promise<CommandResult>;
  /** Starts a command, as `exec`, and returns it while it runs. */
  spawn(id: string, cmd: readonly string[], options?: SpawnOptions): Promise<RunningCommand>;
  /** Opens a file of an instance. @throws ProblemError `not_found`, `conflict`, `gone` */
  readFile(id: string, path: string, options?: ReadFileOptions): Promise<FileData>;
  /**
   * Writes a file whole or not at all, and returns its entity tag. Not repeated by itself.
   * @throws ProblemError `precondition_failed`, `conflict`, `gone`; `invalid` if it is too large
   */
  writeFile(
    id: string,
    path: string,
    content: FileContent,
    options?: WriteFileOptions,
  ): Promise<string>;
  /** The entries of a directory, by name. */
  listFiles(id: string, path: string): Promise<FileList>;
  /** Removes a file, or a directory: an empty one unless `isRecursive`. */
  removeFile(id: string, path: string, isRecursive: boolean): Promise<void>;
  /** Renames a file or a directory. Replaces a file at the new path only with `replace`. */
  moveFile(id: string, request: MoveRequest): Promise<void>;
  /**
   * Events as they arrive, from now on or after `lastEventId`. Reconnects after the last event, and
   * ends only by an error or by `break`.
   */
  events(options?: EventFilter & EventOptions): AsyncGenerator<InstanceEvent, never>;
  /** The templates that the token may use, by name. */
  templates(): Promise<readonly Template[]>;
  /** Counts of the whole deployment. */
  stats(): Promise<Stats>;
  /** Every Docker host, by name. */
  hosts(): Promise<readonly Host[]>;
  /** One Docker host. @throws ProblemError `not_found` */
  host(name: string): Promise<Host>;
  /** Starts no more instances on a host. Those that run stay. */
  cordon(name: string): Promise<Host>;
  /** Starts instances on a host again. */
  uncordon(name: string): Promise<Host>;
  /**
   * Starts no more instances on a host, and waits for those that run to end.
   * @param timeout seconds until the instances that are left are ended; default: never
   */
  drain(name: string, timeout?: number): Promise<Host>;
  /** Creates a signed link by which visitors start instances. Not repeated by itself. */
  createLink(request?: LinkRequest): Promise<Link>;
  /** Stable names, which lead to one instance after another. */
  readonly names: Names;
  /** All operations of the OpenAPI document, without retries and typed errors. */
  readonly operations: Operations;
}

/**
 * A client of the control API. Works in Node, Bun and browsers.
 * @throws TypeError if the URL is invalid
 */
export function createClient(options: ConnectionOptions): Client {
  const { operations, call } = createCall(options);
  const onInstance = (id: string) => ({ path: { id } });
  const onHost = (name: string) => ({ path: { host: name } });
  const read = (id: string, options?: CallOptions) =>
    call(
      (api, init) => api.GET('/v1/instances/{id}', { ...init, params: onInstance(id) }),
      options,
    );
  const client: Client = {
    operations,
    names: createNames(call, () => calls),
    create: (body = {}, createOptions = {}) =>
      createAndWait(async (idempotencyKey) => {
        let isReplayed = false;
        const created = await call(
          async (api, init) => {
            const result = await api.POST('/v1/instances', {
              ...init,
              params: { header: { 'idempotency-key': idempotencyKey } },
              body,
            });
            isReplayed = result.response.headers.get('idempotency-replayed') === 'true';
            return result;
          },
          { signal: createOptions.signal, completesAttempt: true },
        );
        return { instance: new Instance(calls, created), isReplayed };
      }, createOptions),
    async *list(filter) {
      let cursor: string | undefined;
      do {
        const query = { ...queryOf(filter), ...(cursor !== undefined && { cursor }) };
        const page = await call((api, init) =>
          api.GET('/v1/instances', { ...init, params: { query } }),
        );
        for (const item of page.items) yield new Instance(calls, item);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
    },
    get: async (id) => new Instance(calls, await read(id)),
    // A repeated renewal moves the deadline to the same distance from now.
    renew: (id, body) =>
      call((api, init) =>
        api.POST('/v1/instances/{id}/renew', { ...init, params: onInstance(id), body }),
      ),
    async kill(id) {
      await call((api, init) =>
        api.DELETE('/v1/instances/{id}', { ...init, params: onInstance(id) }),
      ).catch((error: unknown) => {
        if (!isProblem(error, 'gone')) throw error;
      });
    },
    async killAll(filter) {
      // A repetition would also end the instances that were created since.
      const { ended } = await call(
        (api, init) => api.DELETE('/v1/instances', { ...init, params: { query: queryOf(filter) } }),
        { isRepeatable: false },
      );
      return ended;
    },
    pause: (id) =>
      call((api, init) =>
        api.POST('/v1/instances/{id}/pause', { ...init, params: onInstance(id) }),
      ),
    resume: (id) =>
      call((api, init) =>
        api.POST('/v1/instances/{id}/resume', { ...init, params: onInstance(id) }),
      ),
    usage: (id) =>
      call((api, init) => api.GET('/v1/instances/{id}/stats', { ...init, params: onInstance(id) })),
    logs: (id, logOptions = {}) => readLog(call, id, logOptions),
    events({ instance, template, type, ...eventOptions } = {}) {
      const query = {
        ...(instance && { instance: instance.join(',') }),
        ...(template && { template: template.join(',') }),
        ...(type && { type: type.join(',') }),
      };
      return followEvents(
        (lastEventId, signal) =>
          call(
            async (api, init) => {
              const header = lastEventId === '' ? {} : { 'last-event-id': lastEventId };
              const result = await api.GET('/v1/events', {
                ...init,
                params: { query, header },
                parseAs: 'stream',
              });
              return { ...result, data: result.response };
            },
            { signal, isRepeatable: false },
          ),
        eventOptions,
      );
    },
    exec: (id, cmd, options = {}) => execCommand(call, id, cmd, options),
    readFile: (id, path, options = {}) => readFileStream(call, id, path, options),
    writeFile: (id, path, content, options = {}) =>
      writeFileContent(call, id, path, content, options),
    listFiles: (id, path) => listFiles(call, id, path),
    removeFile: (id, path, isRecursive) => removeFile(call, id, path, isRecursive),
    moveFile: (id, request) => moveFile(call, id, request),
    spawn: (id, cmd, options = {}) => spawnCommand(call, id, cmd, options),
    async templates() {
      return (await call((api, init) => api.GET('/v1/templates', init))).items;
    },
    stats: () => call((api, init) => api.GET('/v1/stats', init)),
    async hosts() {
      return (await call((api, init) => api.GET('/v1/hosts', init))).items;
    },
    host: (name) =>
      call((api, init) => api.GET('/v1/hosts/{host}', { ...init, params: onHost(name) })),
    cordon: (name) =>
      call((api, init) => api.POST('/v1/hosts/{host}/cordon', { ...init, params: onHost(name) })),
    uncordon: (name) =>
      call((api, init) => api.POST('/v1/hosts/{host}/uncordon', { ...init, params: onHost(name) })),
    drain: (name, timeout) =>
      call((api, init) =>
        api.POST('/v1/hosts/{host}/drain', {
          ...init,
          params: onHost(name),
          body: timeout === undefined ? {} : { timeout },
        }),
      ),
    // Each request makes another link.
    createLink: (body = {}) =>
      call((api, init) => api.POST('/v1/links', { ...init, body: body as Schemas['CreateLink'] }), {
        isRepeatable: false,
      }),
  };
  const calls: InstanceCalls = {
    ...client,
    read,
    events: (id, eventOptions) => client.events({ ...eventOptions, instance: [id] }),
  };
  return client;
}

function queryOf({ state, template, metadata }: InstanceFilter = {}) {
  const pairs = Object.entries(metadata ?? {}).map(([key, value]) => `${key}=${value}`);
  return {
    ...(state && { state: state.join(',') }),
    ...(template && { template: template.join(',') }),
    ...(pairs.length > 0 && { metadata: pairs }),
  };
}

async function* readLog(
  call: Call,
  id: string,
  { follow = false, tail, timestamps = false, signal }: LogOptions,
): AsyncGenerator<string, void> {
  const query = {
    ...(follow && { follow: '1' as const }),
    ...(tail !== undefined && { tail }),
    ...(timestamps && { timestamps: '1' as const }),
  };
  const ending = new AbortController();
  const both = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal;
  try {
    const stream = await call(
      (api, init) =>
        api.GET('/v1/instances/{id}/logs', {
          ...init,
          params: { path: { id }, query },
          parseAs: 'stream',
        }),
      { signal: both },
    );
    yield* textOf(stream);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    ending.abort();
  }
}

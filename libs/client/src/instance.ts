import type { components } from './api-types.ts';
import type { CallOptions } from './call.ts';
import { isProblem } from './errors.ts';
import type { EventOptions } from './events.ts';
import type { CommandResult, ExecOptions, RunningCommand, SpawnOptions } from './exec.ts';
import type {
  FileContent,
  FileData,
  FileList,
  ReadFileOptions,
  WriteFileOptions,
} from './files.ts';
import { waitUntilReady } from './wait.ts';
import type { InstanceData, WaitOptions } from './wait.ts';
import type { InstanceEvent } from './webhook.ts';

export type { InstanceData } from './wait.ts';

/** The body of a renewal: the new time to live from now, in whole seconds. */
export type RenewRequest = components['schemas']['RenewInstance'];
/** The instance, and in `renewal` what was done. */
export type Renewed = components['schemas']['RenewedInstance'];
/** What an instance uses now: memory in bytes, CPU time and network traffic. */
export type Usage = components['schemas']['Usage'];
/** From where to where a file or a directory is moved, as absolute paths in the instance. */
export type MoveRequest = components['schemas']['MoveFile'];

/** Which part of a log is read, and whether it is followed. */
export interface LogOptions {
  /** Whether to continue until the instance ends. */
  readonly follow?: boolean;
  /** Number of lines, counted from the end. Default: all stored lines. */
  readonly tail?: number;
  /** Whether each line begins with its time (RFC 3339). */
  readonly timestamps?: boolean;
  readonly signal?: AbortSignal;
}

/** The operations on an instance by its id. */
export interface InstanceCalls {
  read(id: string, options?: CallOptions): Promise<InstanceData>;
  renew(id: string, request: RenewRequest): Promise<Renewed>;
  kill(id: string): Promise<void>;
  pause(id: string): Promise<InstanceData>;
  resume(id: string): Promise<InstanceData>;
  usage(id: string): Promise<Usage>;
  logs(id: string, options?: LogOptions): AsyncGenerator<string, void>;
  exec(id: string, cmd: readonly string[], options?: ExecOptions): Promise<CommandResult>;
  spawn(id: string, cmd: readonly string[], options?: SpawnOptions): Promise<RunningCommand>;
  readFile(id: string, path: string, options?: ReadFileOptions): Promise<FileData>;
  writeFile(
    id: string,
    path: string,
    content: FileContent,
    options?: WriteFileOptions,
  ): Promise<string>;
  listFiles(id: string, path: string): Promise<FileList>;
  removeFile(id: string, path: string, isRecursive: boolean): Promise<void>;
  moveFile(id: string, request: MoveRequest): Promise<void>;
  events(id: string, options?: EventOptions): AsyncGenerator<InstanceEvent, never>;
}

/** What only the response to a creation contains. */
export type CreatedData = components['schemas']['CreatedInstance'];

/**
 * An instance, with the operations on it. `await using` ends it when its scope ends.
 */
export class Instance implements AsyncDisposable {
  readonly id: string;
  /** For the header `Ephemera-Token`, if this object comes from `create()`. */
  readonly accessToken: string | undefined;
  /** `url` with the access token, if this object comes from `create()`. */
  readonly link: string | undefined;
  /** The value of the placeholder `{token}` of the template, if this object comes from `create()`. */
  readonly token: string | undefined;
  readonly #calls: InstanceCalls;
  #data: InstanceData;

  constructor(calls: InstanceCalls, data: InstanceData & Partial<CreatedData>) {
    const { token, accessToken, link, ...rest } = data;
    this.#calls = calls;
    this.#data = rest;
    this.id = data.id;
    this.token = token;
    this.accessToken = accessToken;
    this.link = link;
  }

  /** As it was last read. `refresh()` reads it again. */
  get data(): InstanceData {
    return this.#data;
  }

  /** Where a person opens the instance; with the access token, if there is one. */
  get url(): string {
    return this.link ?? this.#data.url;
  }

  /** The state at the last read; `refresh()` reads it again. */
  get state(): InstanceData['status']['state'] {
    return this.#data.status.state;
  }

  /** When the instance ends, unless it is renewed. */
  get expiresAt(): Date {
    return new Date(this.#data.expiresAt);
  }

  /** Reads the instance again. @throws ProblemError `not_found` a while after its end */
  async refresh(): Promise<InstanceData> {
    this.#data = await this.#calls.read(this.id);
    return this.#data;
  }

  /**
   * Waits until the instance is ready. Returns at once if it is paused. Reads that fail for a passing
   * reason are repeated until the time is over. Does not end the instance if it rejects.
   * @throws StartFailedError if it ends or is not ready in time; ProblemError; the reason of the
   * signal
   */
  async waitUntilReady(options: WaitOptions = {}): Promise<void> {
    await waitUntilReady(this, options, async (signal) => {
      this.#data = await this.#calls.read(this.id, { signal, isRepeatable: false });
    });
  }

  /** Moves the deadline. @throws ProblemError `renewal_earlier` without `shorten`; `gone` */
  async renew(request: RenewRequest): Promise<Renewed> {
    const renewed = await this.#calls.renew(this.id, request);
    const { renewal: _renewal, ...data } = renewed;
    this.#data = data;
    return renewed;
  }

  /** Starts to end the instance. Succeeds if it has already ended. */
  async kill(): Promise<void> {
    await this.#calls.kill(this.id).catch((error: unknown) => {
      if (!isProblem(error, 'not_found')) throw error;
    });
  }

  /** Stops its processes, which keep their memory. @throws ProblemError 409 in another state */
  async pause(): Promise<void> {
    this.#data = await this.#calls.pause(this.id);
  }

  /** Continues a paused instance. @throws ProblemError 409 in another state */
  async resume(): Promise<void> {
    this.#data = await this.#calls.resume(this.id);
  }

  /** The current resource usage. */
  usage(): Promise<Usage> {
    return this.#calls.usage(this.id);
  }

  /** The log, in pieces of text as they arrive. @throws StreamCutError if it breaks off */
  logs(options?: LogOptions): AsyncGenerator<string, void> {
    return this.#calls.logs(this.id, options);
  }

  /**
   * Runs a command in the instance to its end. No shell is involved. The template must allow it
   * (`exec`).
   * @throws ProblemError `conflict`, `full`, `gone`; StreamCutError if output is lost
   */
  exec(cmd: readonly string[], options?: ExecOptions): Promise<CommandResult> {
    return this.#calls.exec(this.id, cmd, options);
  }

  /** Starts a command, as `exec`, and returns it while it runs. */
  spawn(cmd: readonly string[], options?: SpawnOptions): Promise<RunningCommand> {
    return this.#calls.spawn(this.id, cmd, options);
  }

  /**
   * Reads a file, as the user of the container. `path` is absolute. The template must allow it
   * (`exec`).
   * @throws ProblemError `not_found`, `conflict`, `gone`
   */
  async readFile(path: string, options: ReadFileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { stream } = await this.openFile(path, options);
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Opens a file, to read it as a stream. @throws the errors of `readFile()` */
  openFile(path: string, options: ReadFileOptions = {}): Promise<FileData> {
    return this.#calls.readFile(this.id, path, options);
  }

  /**
   * Writes a file whole or not at all, and creates the directories of its path. Returns its entity tag.
   * @throws ProblemError `precondition_failed`, `conflict`, `gone`; `invalid` if it is too large
   */
  writeFile(path: string, content: FileContent, options: WriteFileOptions = {}): Promise<string> {
    return this.#calls.writeFile(this.id, path, content, options);
  }

  /** The entries of a directory, by name. @throws ProblemError `not_found`, `conflict`, `gone` */
  listFiles(path: string): Promise<FileList> {
    return this.#calls.listFiles(this.id, path);
  }

  /** Removes a file or an empty directory. @throws ProblemError `not_found`, `conflict`, `gone` */
  removeFile(path: string, options: { readonly isRecursive?: boolean } = {}): Promise<void> {
    return this.#calls.removeFile(this.id, path, options.isRecursive === true);
  }

  /** Renames a file or a directory. @throws ProblemError `not_found`, `conflict`, `gone` */
  moveFile(from: string, to: string, options: { readonly replace?: boolean } = {}): Promise<void> {
    return this.#calls.moveFile(this.id, { from, to, ...options });
  }

  /** The events of this instance. */
  events(options?: EventOptions): AsyncGenerator<InstanceEvent, never> {
    return this.#calls.events(this.id, options);
  }

  /** Starts to end the instance, as `kill()`: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  toString(): string {
    return this.id;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, formatDuration, isDead, isFailure } from '@ephemera/domain';
import type { EndReason, Instance, State, Template } from '@ephemera/domain';
import { requestKill } from '@ephemera/lifecycle';
import type { RequestKillPorts } from '@ephemera/lifecycle';
import { accessLink } from '@ephemera/proxy';
import type { Cell, startInstance } from '@ephemera/proxy';
import { orEphemeraError } from './error.ts';

type Started = Pick<Awaited<ReturnType<typeof startInstance>>, 'instance' | 'accessToken'>;

/** What an instance object needs of the process that made it. */
export interface InstancePorts {
  readonly routes: Pick<Cell['routes'], 'waitFor'>;
  readonly instances: Pick<Cell['store']['instances'], 'get'>;
  readonly killPorts: RequestKillPorts;
  /** Aborts when the library is closed. */
  readonly closed: AbortSignal;
}

/** How an instance has ended. */
export interface Ended {
  /** Undefined if its record has expired. */
  readonly reason: EndReason | undefined;
  /** For people. */
  readonly message: string | undefined;
}

/** When to stop waiting. */
export interface WaitOptions {
  /** Aborts the wait, not the instance. */
  readonly signal?: AbortSignal;
}

/**
 * One instance, as the program that started it sees it. `newContainer` returns one that is not
 * started.
 */
export class EphemeralInstance implements AsyncDisposable {
  readonly #template: Template;
  readonly #ports: InstancePorts;
  readonly #begin: () => Promise<Started>;
  #starting: Promise<Started> | undefined;
  #started: Started | undefined;

  constructor(template: Template, ports: InstancePorts, begin: () => Promise<Started>) {
    this.#template = template;
    this.#ports = ports;
    this.#begin = begin;
  }

  /** Its template; once it is started, with the image that it runs. */
  get template(): Template {
    return this.#started?.instance.template ?? this.#template;
  }

  /** The public id. @throws Error before the start */
  get id(): string {
    return this.#known.instance.id;
  }

  /** Absolute URL for visitors, with a slash at the end. @throws Error before the start */
  get url(): string {
    return this.#known.instance.url;
  }

  /**
   * The access token of an instance whose template has `access: token` or `owner`; it is not stored
   * anywhere. Undefined for other templates. @throws Error before the start
   */
  get accessToken(): string | undefined {
    return this.#known.accessToken;
  }

  /** The URL that also grants access to a guarded instance. @throws Error before the start */
  get link(): string {
    return this.accessToken === undefined ? this.url : accessLink(this.url, this.accessToken);
  }

  /**
   * Starts the instance, and resolves once it is ready. A second call waits for the same start.
   * @throws EphemeraError if the start is refused or fails; the reason of `signal` if it aborts: the
   * start then goes on
   */
  async start({ signal }: WaitOptions = {}): Promise<this> {
    return await orEphemeraError(async () => {
      this.#starting ??= this.#begin();
      try {
        this.#started = await this.#starting;
      } catch (error) {
        // Nothing was created, so a later call may try again.
        this.#starting = undefined;
        throw error;
      }
      const { id } = this;
      const instance = await settled(this.#ports, id, hasStarted, signal);
      if (instance === undefined || isDead(instance.state) || instance.state === 'draining') {
        throwEnded(id, instance);
      }
      return this;
    });
  }

  /** Ends the instance: its route at once, its container soon after. Not an error if it has ended. */
  async kill(): Promise<void> {
    await orEphemeraError(() => requestKill(this.#ports.killPorts, this.id));
  }

  /**
   * Resolves once the instance has ended and its container is removed, whatever ended it: `kill()`,
   * its TTL, an exit. @throws the reason of `signal` if it aborts
   */
  async waitKill({ signal }: WaitOptions = {}): Promise<Ended> {
    return await waitUntilGone(this.#ports, this.id, signal);
  }

  /** For logs: what it is, never a secret. */
  toString(): string {
    const { image, name, timeout } = this.template;
    const ttl = this.#started?.instance.timeout ?? timeout;
    const id = this.#started?.instance.id ?? '(not started)';
    return `instance ${id} of template ${name}, image ${image}, ttl ${formatDuration(ttl)}`;
  }

  /** Ends the instance and waits until its container is removed. Nothing happens before the start. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A start that was refused has no instance.
    this.#started = await this.#starting?.catch(() => undefined);
    if (this.#started === undefined) return;
    await this.kill();
    await this.waitKill();
  }

  get #known(): Started {
    if (this.#started) return this.#started;
    throw new Error('the instance is not started; call start() first');
  }
}

/** Resolves once an instance is gone: its container is removed. @throws the reason of `signal` */
export async function waitUntilGone(
  ports: InstancePorts,
  id: string,
  signal?: AbortSignal,
): Promise<Ended> {
  const instance = await settled(ports, id, isDead, signal);
  return { reason: instance?.reason, message: instance?.message };
}

/** How long one wait for a change of a route lasts, ms. */
const WAIT_MS = 60_000;
/** Pause while Redis is unavailable, ms. */
const RETRY_MS = 500;

/** Waits for a state. Returns the instance; undefined if its record has expired. */
async function settled(
  { routes, instances, closed }: InstancePorts,
  id: string,
  isReached: (state: State) => boolean,
  signal: AbortSignal | undefined,
): Promise<Instance | undefined> {
  const abort = signal ? AbortSignal.any([signal, closed]) : closed;
  const isOver = (found: { readonly route: { readonly state: State } } | undefined) =>
    found === undefined || isReached(found.route.state);
  for (;;) {
    abort.throwIfAborted();
    try {
      const found = await routes.waitFor(id, isOver, WAIT_MS, abort);
      if (!abort.aborted && isOver(found)) return await instances.get(id);
    } catch (error) {
      if (!isFailure(error, 'store_unavailable') && !isFailure(error, 'rebuilding')) throw error;
      await sleep(RETRY_MS, undefined, { signal: abort }).catch(() => undefined);
    }
  }
}

function hasStarted(state: State): boolean {
  return state !== 'pending' && state !== 'starting';
}

/** @throws ApiError */
function throwEnded(id: string, instance: Instance | undefined): never {
  const { reason = 'request', message, hint } = instance ?? {};
  if (reason !== 'start_failed') throw new ApiError({ kind: 'gone', id, reason, message });
  const text = message ?? 'The instance could not be started.';
  throw new ApiError({ kind: 'start_failed', id, message: text, hint });
}

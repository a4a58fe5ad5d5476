import type { components } from './api-types.ts';
import type { Call } from './call.ts';
import { randomKey } from './create.ts';
import type { CreateOptions } from './create.ts';
import { isProblem } from './errors.ts';
import { Instance } from './instance.ts';
import type { InstanceCalls } from './instance.ts';
import { WAIT_MS } from './wait.ts';

type Schemas = components['schemas'];

/** A stable name with its instances. Times are RFC 3339. */
export type NameData = Schemas['Name'];

/** The fields of a creation, `drain` and `ttl` (seconds). */
export type PutNameRequest = Partial<Schemas['PutName']>;

/** A generation of a name; `*`: any, if the name exists. */
export type NameMatch = number | '*';

/** How `names.put()` waits, and what the name must be before. */
export interface PutNameOptions extends Omit<CreateOptions, 'keep'> {
  /** Only if the name has this generation. */
  readonly ifMatch?: NameMatch | undefined;
  /** `*`: only if the name does not exist. */
  readonly ifNoneMatch?: '*' | undefined;
}

/** What the name must be before it is deleted. */
export interface DeleteNameOptions {
  /** Only if the name has this generation. */
  readonly ifMatch?: NameMatch | undefined;
}

/** An instance that was started for a name. */
export class NamedInstance extends Instance {
  readonly name: string;
  /** What this creation gave to the name. `ifMatch` with it fails if another creation followed. */
  readonly generation: number;

  constructor(calls: InstanceCalls, data: Schemas['NamedInstance']) {
    const { name, generation, isCurrent: _isCurrent, ...rest } = data;
    super(calls, rest);
    this.name = name;
    this.generation = generation;
  }
}

/** Stable names: each leads to one instance after another. */
export interface Names {
  /**
   * Starts an instance for a name, and waits until it is ready: the name leads to it from then on. A
   * retry cannot start a second one. If it rejects after the creation, the instance is not ended: the
   * name moves to it if it becomes ready later.
   * @throws StartFailedError if the instance does not become ready; ProblemError
   * `precondition_failed` if the name is not as the options require; the reason of the signal
   */
  put(name: string, request?: PutNameRequest, options?: PutNameOptions): Promise<NamedInstance>;
  /** @throws ProblemError `not_found` */
  get(name: string): Promise<NameData>;
  /** Every name in alphabetical order, from all pages. */
  list(): AsyncGenerator<NameData, void>;
  /**
   * Forgets a name, and starts to end its instances.
   * @throws ProblemError `not_found`; `precondition_failed`
   */
  delete(name: string, options?: DeleteNameOptions): Promise<void>;
}

/** @param calls for the operations on the instances */
export function createNames(call: Call, calls: () => InstanceCalls): Names {
  return {
    async put(
      name,
      body = {},
      { waitMs = WAIT_MS, idempotencyKey = randomKey(), ifMatch, ifNoneMatch, ...options } = {},
    ) {
      const startedAt = performance.now();
      const header = {
        'idempotency-key': idempotencyKey,
        ...matchHeader(ifMatch),
        ...(ifNoneMatch !== undefined && { 'if-none-match': ifNoneMatch }),
      };
      const created = await call(
        (api, init) =>
          api.PUT('/v1/names/{name}', {
            ...init,
            params: { path: { name }, header },
            body: body as Schemas['PutName'],
          }),
        { signal: options.signal },
      );
      const instance = new NamedInstance(calls(), created);
      const leftMs = waitMs - (performance.now() - startedAt);
      await instance.waitUntilReady({ ...options, waitMs: waitMs > 0 ? Math.max(1, leftMs) : 0 });
      return instance;
    },
    get: (name) =>
      call((api, init) => api.GET('/v1/names/{name}', { ...init, params: { path: { name } } })),
    async *list() {
      let cursor: string | undefined;
      do {
        const query = cursor === undefined ? {} : { cursor };
        const page = await call((api, init) =>
          api.GET('/v1/names', { ...init, params: { query } }),
        );
        yield* page.items;
        cursor = page.nextCursor;
      } while (cursor !== undefined);
    },
    async delete(name, { ifMatch } = {}) {
      let attempts = 0;
      await call((api, init) => {
        attempts++;
        const params = { path: { name }, header: matchHeader(ifMatch) };
        return api.DELETE('/v1/names/{name}', { ...init, params });
      }).catch((error: unknown) => {
        // The attempt whose response was lost has removed it.
        if (attempts === 1 || !isProblem(error, 'not_found')) throw error;
      });
    },
  };
}

function matchHeader(match: NameMatch | undefined): { readonly 'if-match'?: string } {
  if (match === undefined) return {};
  return { 'if-match': match === '*' ? match : `"${match}"` };
}

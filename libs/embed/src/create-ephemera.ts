import type { IncomingMessage, Server } from 'node:http';
import { createSigningKeys, policyFields, readTemplates } from '@ephemera/config';
import type { SigningKeys, TemplateSet } from '@ephemera/config';
import { ApiError, parseDuration } from '@ephemera/domain';
import type { Template } from '@ephemera/domain';
import type { CreationContext } from '@ephemera/lifecycle';
import { createLogger, createMetrics, createShutdown } from '@ephemera/process';
import type { Registry } from '@ephemera/process';
import {
  cellDependencies,
  connectCell,
  createPublicInterface,
  instanceUrls,
  keepPoolSpecs,
  loadTheme,
  ownerQuota,
  requireKeys,
  startInstance,
} from '@ephemera/proxy';
import type { Context } from 'koa';
import { expressHandler, fastifyPlugin, koaRoutes, nodeHandler } from './adapters.ts';
import type {
  AdapterOptions,
  ExpressHandler,
  ExpressRequest,
  FastifyPlugin,
  FastifyRequest,
  NodeHandler,
} from './adapters.ts';
import { orEphemeraError } from './error.ts';
import { EphemeralInstance } from './instance.ts';
import type { InstancePorts, WaitOptions } from './instance.ts';
import { readOptions } from './options.ts';
import type { EphemeraOptions, TemplateOptions } from './options.ts';
import { ownerIssue, readOwner } from './owner.ts';
import { OwnInstances } from './own-instances.ts';
import { createRequestHandler } from './request-handler.ts';
import type { AttachOptions } from './request-handler.ts';
import { startWorker } from './start-worker.ts';

/** How long open requests and WebSockets may go on after `close()`, ms. */
const DRAIN_MS = 10_000;
/** How long `killAll` and `close` wait for the end of instances, unless told otherwise, ms. */
const KILL_ALL_MS = 60_000;
/** As the defaults of a replica. Durations in milliseconds, sizes in bytes. */
const REPLICA = {
  accessLog: false,
  webSocketsPerInstance: 1_000,
  startWait: 30_000,
  responseTimeout: 60_000,
  maxRequestFields: 200,
  maxResponseHeader: 64 * 1024,
  redisGrace: 30_000,
  routes: 200_000,
  tombstone: 3_600_000,
} as const;

/** Values of one creation. */
export interface CreateOptions {
  /** Time to live from ready, such as `5m`, in whole seconds. Default: that of the template. */
  readonly timeout?: string;
  /** Whose quota it counts against: the id of a user of the application. Default: no quota. */
  readonly owner?: string | null | undefined;
  /** Image in place of that of the template, which must allow it with `imageAllow`. */
  readonly image?: string;
  /** Variables that the template allows with `envAllow`. */
  readonly env?: Readonly<Record<string, string>>;
  /** Texts that the application keeps with the instance. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The landing path, such as `/lab?reset`. Default: `open` of the template. */
  readonly path?: string;
}

type TemplateFields = Extract<TemplateOptions['templates'], object>[string];

/** What `newContainer` takes besides the image: fields of a template, and values of a creation. */
export interface ContainerOptions
  extends
    Omit<TemplateFields, 'image' | 'timeout' | 'env' | 'pool' | 'schedule'>,
    Pick<CreateOptions, 'owner' | 'metadata' | 'path'> {
  /** Environment variables, as `env` of a template. */
  readonly env?: TemplateFields['env'];
}

/** How long `killAll()` waits. */
export interface KillAllOptions {
  /** How long to wait for the ends, such as `1m`. Default: one minute. */
  readonly timeout?: string;
}

/** What `close()` does with the instances of this object, and how long it waits. */
export interface CloseOptions extends KillAllOptions {
  /** Leaves the instances to their deadlines, and to another worker of the host. */
  readonly keep?: boolean;
}

/** The library in one process. Make it with `createEphemera`. */
export interface Ephemera extends AsyncDisposable {
  /** Routes for Koa: `router.use('/demo', ephemera.routes())`, or `app.use(ephemera.routes())`. */
  routes(options?: AdapterOptions<Context>): ReturnType<typeof koaRoutes>;
  /** Middleware for Express: `app.use(ephemera.express())`. */
  express<Request extends ExpressRequest>(
    options?: AdapterOptions<Request>,
  ): ExpressHandler<Request>;
  /** A plugin for Fastify: `app.register(ephemera.fastify())`. */
  fastify<Request extends FastifyRequest = FastifyRequest>(
    options?: AdapterOptions<Request>,
  ): FastifyPlugin;
  /** A handler for node:http. It returns false if the request is for the application. */
  handler(options?: AdapterOptions<IncomingMessage>): NodeHandler;
  /**
   * Prepares the server of the application, before it listens: WebSockets, limits of headers and
   * connections, timeouts, a strict parser. Requests for instances on a server that is not attached
   * are answered with 500.
   * @throws TypeError if it is no `http.Server`, listens already, or is attached already
   */
  attach(server: Server, options?: AttachOptions): void;
  /**
   * Starts an instance of a template, and resolves once it is ready.
   * @throws EphemeraError if the start is refused or fails; the reason of `signal` if it aborts
   */
  create(template: string, options?: CreateOptions & WaitOptions): Promise<EphemeralInstance>;
  /**
   * Describes an instance of an image, without a template in the options. `start()` starts it.
   * @param ttl time to live, such as `5m`
   * @param options fields of a template, as in `ephemera.yml`. `port` is 8080 by default.
   * @throws ConfigError with every error in the fields
   */
  newContainer(image: string, ttl: string, options?: ContainerOptions): EphemeralInstance;
  /**
   * Ends all instances that this object has started, by calls and by visitors, and resolves with
   * their number once their containers are removed.
   * @throws EphemeraError if `timeout` is no duration or Redis is unavailable; TimeoutError (DOMException) if it takes too long
   */
  killAll(options?: KillAllOptions): Promise<number>;
  /**
   * Ends the instances of this object, unless `keep` is set, and releases everything. The servers
   * stay open, and answer 503 for instances. Safe to call twice.
   * @throws EphemeraError if `timeout` is no duration; nothing is released then
   */
  close(options?: CloseOptions): Promise<void>;
  /** Prometheus metrics of this object. */
  readonly metrics: Registry;
}

/**
 * Connects this process to a deployment, as one more replica, and with `docker` or `worker` as one
 * more worker. All errors of the options are reported together, before anything starts.
 * @throws ConfigError for the options; BootError if Redis or Docker cannot be used
 */
export async function createEphemera(options: EphemeraOptions): Promise<Ephemera> {
  const { settings, openTemplates } = readOptions(options);
  const logger = createLogger('embed', settings.logLevel);
  const shutdown = createShutdown(logger);
  try {
    return await start(settings, { openTemplates, logger, shutdown });
  } catch (error) {
    await shutdown.stop();
    throw error;
  }
}

type Read = ReturnType<typeof readOptions>;
interface Process {
  readonly openTemplates: Read['openTemplates'];
  readonly logger: ReturnType<typeof createLogger>;
  readonly shutdown: ReturnType<typeof createShutdown>;
}

async function start(
  settings: Read['settings'],
  { openTemplates, logger, shutdown }: Process,
): Promise<Ephemera> {
  const { signingKeys, prefix } = settings;
  const keys: SigningKeys = createSigningKeys(() => signingKeys);
  const templates = openTemplates(logger, (set) => requireKeys(set, keys));
  shutdown.onShutdown('templates', () => templates.close());

  const cell = await connectCell({ ...settings, ...REPLICA }, cellDependencies, {
    ...{ logger, shutdown },
    signer: keys,
  });
  const config = { ...settings, ...REPLICA };
  if (templates.isFile) {
    const ports = { pools: cell.store.pools, refills: cell.refills };
    await keepPoolSpecs(ports, templates, instanceUrls(config), { logger, shutdown });
  }
  const metrics = createMetrics('embed');
  const owners = new WeakMap<IncomingMessage, () => unknown>();
  const visitors = createPublicInterface(config, {
    cell,
    templates,
    tokens: {
      // The application authenticates; only links of tokens in a shared file are accepted.
      identify: () => undefined,
      named(name) {
        const { tokens } = templates.current;
        const entry = Object.hasOwn(tokens, name) ? tokens[name] : undefined;
        return entry && { name, scopes: entry.scopes };
      },
    },
    keys,
    theme: loadTheme(settings.theme, undefined),
    metrics,
    ownerOf(req) {
      const ownerOf = owners.get(req);
      return ownerOf && readOwner(ownerOf);
    },
    onCreated: (instance) => own.add(instance),
    logger,
  });
  const { ids, shared, dataPlane, inFlight, activity } = visitors;
  const closed = new AbortController();
  const ports: InstancePorts = { ...ids, killPorts: ids, closed: closed.signal };
  const own = new OwnInstances(ports, logger);
  activity.start();
  shutdown.onShutdown('activity', () => activity.stop());
  const requests = createRequestHandler(visitors, owners, logger);
  if (settings.worker) {
    const worker = await startWorker(settings, settings.worker, templates);
    shutdown.onShutdown('worker', () => worker.stop(), 2 * KILL_ALL_MS);
  }

  /** Starts that are not recorded yet: `close` waits for them. */
  const pending = new Set<Promise<unknown>>();
  let isClosing = false;

  const begin = (set: TemplateSet, template: Template, creation: CreateOptions) => async () => {
    if (isClosing) throw new ApiError({ kind: 'conflict', detail: CLOSED });
    const { timeout, image, env, metadata, path } = creation;
    const owner = creation.owner ?? undefined;
    const issue = owner === undefined ? undefined : ownerIssue(owner);
    if (issue !== undefined) {
      throw new ApiError({ kind: 'invalid', faults: [{ path: 'owner', detail: issue }] });
    }
    const { quotas } = templates.current;
    const context: CreationContext =
      owner === undefined ? {} : { quotaOwner: ownerQuota(owner, quotas) };
    const request = {
      template: template.name,
      image,
      timeout: timeout === undefined ? undefined : seconds(timeout),
      env,
      metadata,
      path,
    };
    const starter = { ...shared.starter, templates: set };
    const started = startInstance(starter, request, context);
    pending.add(started);
    try {
      const result = await started;
      const { id, generation } = result.instance;
      const by = owner === undefined ? 'program' : `owner:${owner}`;
      logger.info({ id, generation, template: template.name, by }, 'instance created');
      return result;
    } finally {
      pending.delete(started);
    }
  };

  const endAll = (ms: number) => own.killAll(AbortSignal.timeout(ms));

  let closing: Promise<void> | undefined;
  const release = async (keep: boolean, killMs: number): Promise<void> => {
    isClosing = true;
    requests.close();
    await inFlight.drain(DRAIN_MS);
    await Promise.allSettled(pending);
    if (!keep) {
      await endAll(killMs).catch((error: unknown) =>
        logger.error({ err: error }, 'not all instances ended; they end at their deadlines'),
      );
    }
    await dataPlane.drain(keep ? DRAIN_MS : 0);
    closed.abort(new Error(CLOSED));
    await shutdown.stop();
  };

  return {
    routes: (adapter = {}) => koaRoutes(requests, adapter),
    express: (adapter = {}) => expressHandler(requests, adapter),
    fastify: (adapter = {}) => fastifyPlugin(requests, prefix, adapter),
    handler: (adapter = {}) => nodeHandler(requests, adapter),
    attach: (server, attach) => requests.attach(server, attach),
    async create(name, { signal, ...creation } = {}) {
      const { current } = templates;
      const template = current.templates.get(name);
      return await orEphemeraError(async () => {
        if (!template) {
          const known = [...current.templates.keys()];
          throw new ApiError({ kind: 'unknown_template', name, known });
        }
        const instance = new EphemeralInstance(template, ports, begin(current, template, creation));
        return await instance.start(signal ? { signal } : {});
      });
    },
    newContainer(image, ttl, { owner, metadata, path, ...fields } = {}) {
      const name = nameOf(image);
      const set = readTemplates(
        {
          templates: {
            [name]: {
              ...(fields.ports === undefined && { port: 8080 }),
              ...fields,
              image,
              timeout: ttl,
            },
          },
          ...policyFields(templates.current.policy),
        },
        `The container of ${image}`,
      );
      const creation = {
        owner,
        ...(metadata && { metadata }),
        ...(path !== undefined && { path }),
      };
      return new EphemeralInstance(
        set.defaultTemplate,
        ports,
        begin(set, set.defaultTemplate, creation),
      );
    },
    killAll: ({ timeout } = {}) => orEphemeraError(() => endAll(killMsOf(timeout))),
    async close({ keep = false, timeout } = {}) {
      // Before anything is released: a call that is refused has done nothing.
      const killMs = await orEphemeraError(() => killMsOf(timeout));
      closing ??= release(keep, killMs);
      await closing;
    },
    metrics,
    async [Symbol.asyncDispose]() {
      closing ??= release(false, KILL_ALL_MS);
      await closing;
    },
  };
}

const CLOSED = 'Ephemera was closed in this process.';

/** @throws ApiError if the text is no duration of whole seconds */
function seconds(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms % 1000 === 0 && ms > 0) return ms / 1000;
  const detail = 'must be a duration of whole seconds such as 90s, 30m or 2h';
  throw new ApiError({ kind: 'invalid', faults: [{ path: 'timeout', detail }] });
}

/** How long a call waits for the end of instances, ms. @throws ApiError */
function killMsOf(timeout: string | undefined): number {
  return timeout === undefined ? KILL_ALL_MS : 1000 * seconds(timeout);
}

/** A name for the template of an image: `ghcr.io/acme/app:1` is `app`. */
function nameOf(image: string): string {
  const [repository = ''] = (image.split('/').at(-1) ?? '').split(/[:@]/, 1);
  const name = repository
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '');
  return name.slice(0, 41).replace(/-+$/, '') || 'container';
}

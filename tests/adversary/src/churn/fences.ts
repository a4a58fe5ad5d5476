import { join } from 'node:path';
import type { ProxyDependencies } from '@ephemera/proxy';
import type { WorkerDependencies } from '@ephemera/worker';

/**
 * The checks that keep a request from another instance (docs/ADVERSARY.md):
 *
 * - `lease`: a cached route is used only for its lease without proof that it is current;
 * - `push`: a changed route is dropped when Redis pushes the change;
 * - `flush`: a lost invalidation connection makes every cached route stale;
 * - `sockets`: connections belong to one generation of one instance, and end with it;
 * - `recheck`: the route is read again when a connection opens, before its first byte;
 * - `addresses`: the worker gives each container the next address of the host's block.
 */
export type Fence = 'lease' | 'push' | 'flush' | 'sockets' | 'recheck' | 'addresses';

/** The fences of a proxy. `addresses` belongs to the worker. */
export const proxyFences = [
  'lease',
  'push',
  'flush',
  'sockets',
  'recheck',
] as const satisfies Fence[];

/** Longer than any run, so that a route with this lease is always used. */
const DAY = 86_400_000;

const nothing = () => undefined;

/** Returns the dependencies of a proxy without some fences. */
export function withoutProxyFences(
  base: ProxyDependencies,
  removed: readonly Fence[],
): ProxyDependencies {
  const isRemoved = (fence: Fence) => removed.includes(fence);
  return {
    ...base,
    createRoutes: ({ trackRoutes, ...options }) => {
      if (!trackRoutes) throw new Error('the proxy gives no trackRoutes to its route cache');
      return base.createRoutes({
        ...options,
        ...(isRemoved('lease') && { lease: DAY }),
        trackRoutes: (redis, prefix, events, clock) =>
          trackRoutes(
            redis,
            prefix,
            {
              up: (since) => events.up(since),
              proven: (since) => events.proven(since),
              invalid: isRemoved('push') ? nothing : (key) => events.invalid(key),
              down: isRemoved('flush') ? nothing : () => events.down(),
              failed: (error) => events.failed(error),
            },
            clock,
          ),
      });
    },
    createUpstreamPools(routes, timeouts, logger) {
      const create = isRemoved('sockets') ? poolsByAddress(base) : base.createUpstreamPools;
      const pools = create(routes, timeouts, logger);
      if (isRemoved('recheck')) pools.confirms = () => Promise.resolve(true);
      return pools;
    },
  };
}

/**
 * Pools that are found by address, like those of an ordinary proxy, and that outlive their route.
 * Each address looks to the product's pools like one instance with one generation that never ends.
 */
function poolsByAddress(base: ProxyDependencies): ProxyDependencies['createUpstreamPools'] {
  return (routes, timeouts, logger) => {
    /** The route for which a pool was last used. */
    const latest = new Map<string, { readonly id: string; readonly generation: number }>();
    const endless: typeof routes.find = (address) =>
      Promise.resolve({
        route: readyAt(address),
        validUntil: Infinity,
        deadline: Infinity,
      });
    const pools = base.createUpstreamPools(
      {
        find: endless,
        confirm: endless,
        isRegistered: (host, endpoint) => routes.isRegistered(host, endpoint),
        onDrop: nothing,
      },
      timeouts,
      logger,
    );
    const poolOf = pools.poolOf.bind(pools);
    pools.poolOf = (id, route, _deadline) => {
      latest.set(route.address, { id, generation: route.generation });
      return poolOf(route.address, { ...route, generation: 0 }, Infinity);
    };
    pools.confirms = async (address) => {
      const used = latest.get(address);
      const found = used && (await routes.confirm(used.id));
      const isReady = found?.route.state === 'ready' && performance.now() < found.deadline;
      return isReady && found.route.generation === used?.generation;
    };
    return pools;
  };
}

function readyAt(address: string) {
  return {
    state: 'ready',
    generation: 0,
    address,
    port: 0,
    ports: {},
    expiresAt: Infinity,
    stripPrefix: true,
    host: '',
    hostHeader: 'pass',
  } as const;
}

/**
 * Returns the dependencies of a worker without the fence `addresses`: Docker assigns the lowest
 * free address.
 */
export function withoutAddressFence(base: WorkerDependencies): WorkerDependencies {
  return {
    ...base,
    connectDocker(...args) {
      const docker = base.connectDocker(...args);
      const create = docker.createContainer.bind(docker);
      // The options of an instance are in `_body`.
      type Options = Parameters<typeof docker.createContainer>[0] & {
        _body?: Parameters<typeof docker.createContainer>[0];
      };
      const createAnywhere = (options: Options) => {
        const { _body: body } = options;
        if (!body) return create(options);
        const networks = Object.keys(body.NetworkingConfig?.EndpointsConfig ?? {});
        const EndpointsConfig = Object.fromEntries(networks.map((name) => [name, {}]));
        const anywhere: Options = {
          ...options,
          _body: { ...body, NetworkingConfig: { EndpointsConfig } },
        };
        return create(anywhere);
      };
      return Object.assign(docker, { createContainer: createAnywhere });
    },
  };
}

/** Returns the node arguments that start a proxy or a worker without some of its fences. */
export function entryWithout(app: 'proxy' | 'worker', removed: readonly Fence[]): string[] {
  return [join(import.meta.dirname, `../processes/${app}.ts`), removed.join(',')];
}

import type { ProxyDependencies } from '@ephemera/proxy';
import type { WorkerDependencies } from '@ephemera/worker';

type WithStore = Pick<ProxyDependencies, 'createStore'>;

/** Replaces the dependencies that implement one guard. A missing property changes nothing. */
interface Removal {
  /** Applies to workers and to proxies. */
  readonly store?: (base: WithStore) => WithStore;
  readonly worker?: (base: WorkerDependencies) => WorkerDependencies;
}

type ReconcilePorts = Parameters<WorkerDependencies['reconcile']>[0];

const reconcileWith = (change: (ports: ReconcilePorts) => Partial<ReconcilePorts>): Removal => ({
  worker: (base) => ({
    ...base,
    reconcile: (ports) => base.reconcile({ ...ports, ...change(ports) }),
  }),
});

const nothing = () => Promise.resolve();

/** Guards by name. Each is removed from a test process by wrapping its dependencies. */
export const GUARDS: Readonly<Record<string, Removal>> = {
  /** Reconciliation does not restore kill jobs. */
  're-arming': reconcileWith(({ killJobs }) => ({ killJobs: { ...killJobs, schedule: nothing } })),

  /**
   * Reconciliation does not complete a kill that another process began. Reconciliation uses the
   * reason `due`.
   */
  finishing: reconcileWith(({ instances }) => ({
    instances: {
      ...instances,
      startDraining: (id, reason, message, hint) =>
        reason === 'due'
          ? Promise.resolve({ kind: 'absent' })
          : instances.startDraining(id, reason, message, hint),
    },
  })),

  /** Reconciliation does not remove containers without an instance. */
  orphans: reconcileWith(({ containers }) => ({ containers: { ...containers, remove: nothing } })),

  /** Reconciliation does not add lost spawn jobs again. */
  'asking again': reconcileWith(({ spawns }) => ({ spawns: { ...spawns, add: nothing } })),

  /** `markReady` ignores the state and the generation of the record. */
  'state and generation': {
    store: withInstances((instances, redis, keys) => ({
      async markReady(id, generation, address, host, ports) {
        const published = await instances.markReady(id, generation, address, host, ports);
        if (published) return published;
        // Ignores the refusal: the record is changed so that the store accepts the call.
        const key = keys.instance(id);
        const [current, owner] = await redis.hmget(key, 'generation', 'host');
        if (host !== undefined && owner !== host) return undefined;
        await redis.hset(key, 'state', 'starting');
        return instances.markReady(id, Number(current ?? generation), address, host, ports);
      },
    })),
  },

  /** Every process that runs a kill counts it. */
  'counted once': {
    store: withInstances((instances) => ({
      async finalize(id, generation, left) {
        const finalized = await instances.finalize(id, generation, left);
        return finalized || left === undefined;
      },
    })),
  },
};

/**
 * Dependencies of a worker without these guards.
 * @throws Error for a name that is not in `GUARDS`
 */
export function withoutWorkerGuards(
  base: WorkerDependencies,
  names: readonly string[],
): WorkerDependencies {
  return names.map(guardOf).reduce((dependencies, { store, worker }) => {
    const changed = { ...dependencies, ...store?.(dependencies) };
    return worker?.(changed) ?? changed;
  }, base);
}

/** Dependencies of a proxy without these guards. Guards that only a worker has are ignored. */
export function withoutProxyGuards(
  base: ProxyDependencies,
  names: readonly string[],
): ProxyDependencies {
  return names
    .map(guardOf)
    .reduce((dependencies, { store }) => ({ ...dependencies, ...store?.(dependencies) }), base);
}

function guardOf(name: string): Removal {
  const guard = GUARDS[name];
  if (!guard) throw new Error(`there is no guard ${name}; there are ${guardNames()}`);
  return guard;
}

function guardNames(): string {
  return Object.keys(GUARDS).join(', ');
}

type CreateStore = WithStore['createStore'];
type InstanceStore = ReturnType<CreateStore>['instances'];

/** Replaces methods of the instance store. */
function withInstances(
  change: (
    instances: InstanceStore,
    redis: Parameters<CreateStore>[0],
    keys: Parameters<CreateStore>[1],
  ) => Partial<InstanceStore>,
): (base: WithStore) => WithStore {
  return (base) => ({
    createStore(redis, keys, ...rest) {
      const store = base.createStore(redis, keys, ...rest);
      const { instances } = store;
      return { ...store, instances: { ...instances, ...change(instances, redis, keys) } };
    },
  });
}

import { writeSync } from 'node:fs';
import type { ProxyDependencies } from '@ephemera/proxy';
import type { WorkerDependencies } from '@ephemera/worker';
import { type Fault, markOf } from './process-plan.ts';

/** Sends a signal to this process, which stops it before the call returns. */
export type SendSignal = (fault: Fault) => void;

const sendSignal: SendSignal = (fault) => {
  // Synchronous: the process stops before an asynchronous write would complete.
  writeSync(2, `\n${markOf(fault)}\n`);
  process.kill(process.pid, fault.signal);
};

/** Wraps ports and injects each fault at its call. */
export class FaultInjector {
  readonly #waiting: Fault[];
  readonly #send: SendSignal;
  /** Matching calls since the previous fault. */
  #calls = 0;

  constructor(faults: readonly Fault[], send: SendSignal = sendSignal) {
    this.#waiting = [...faults];
    this.#send = send;
  }

  /** Wraps every method of a port as a call with the name `PORT.METHOD`. */
  port<T extends object>(port: string, object: T): T {
    return new Proxy(object, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property);
        if (typeof property === 'symbol' || typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          const call = () => Reflect.apply(value, target, args) as unknown;
          // dockerode creates a handle without a request to the daemon. The methods of the handle
          // are the calls.
          if (property === 'getContainer') return this.port('container', call() as object);
          return this.call(`${port}.${property}`, call);
        };
      },
    });
  }

  /** Makes one call. Injects the next fault before, during or after the call if it matches. */
  call<T>(name: string, make: () => T): T {
    const [next] = this.#waiting;
    if (next?.call !== name || ++this.#calls !== next.nth) return make();
    if (next.moment === 'before') this.#inject(next);
    const answer = make();
    if (next.moment === 'before') return answer;
    const settled = Promise.resolve(answer);
    if (next.moment === 'after') return settled.finally(() => this.#inject(next)) as T;
    const timer = setTimeout(() => this.#inject(next), next.delay);
    // A call that is shorter than the delay gets its fault at its end.
    return settled.finally(() => {
      if (this.#waiting[0] !== next) return;
      clearTimeout(timer);
      this.#inject(next);
    }) as T;
  }

  #inject(fault: Fault): void {
    this.#waiting.shift();
    this.#calls = 0;
    this.#send(fault);
  }
}

type StoreAndJobs = Pick<ProxyDependencies, 'createStore' | 'createProducers' | 'createRefills'>;

/** The ports that a worker and a proxy share. */
function withFaultyStore(base: StoreAndJobs, faults: FaultInjector): StoreAndJobs {
  return {
    createStore(...args) {
      const store = base.createStore(...args);
      return {
        ...store,
        instances: faults.port('instances', store.instances),
        intake: faults.port('intake', store.intake),
        startQueue: faults.port('startQueue', store.startQueue),
        pools: faults.port('pools', store.pools),
        leases: faults.port('leases', store.leases),
      };
    },
    createProducers(...args) {
      const jobs = base.createProducers(...args);
      return {
        ...jobs,
        killJobs: faults.port('killJobs', jobs.killJobs),
        spawns: faults.port('spawns', jobs.spawns),
        killRequests: faults.port('killRequests', jobs.killRequests),
      };
    },
    createRefills: (...args) => faults.port('refills', base.createRefills(...args)),
  };
}

export function withProxyFaults(base: ProxyDependencies, faults: FaultInjector): ProxyDependencies {
  return { ...base, ...withFaultyStore(base, faults) };
}

export function withWorkerFaults(
  base: WorkerDependencies,
  faults: FaultInjector,
): WorkerDependencies {
  const { webhooks } = base;
  return {
    ...base,
    ...withFaultyStore(base, faults),
    connectDocker: (...args) => faults.port('docker', base.connectDocker(...args)),
    createContainers: (...args) => faults.port('containers', base.createContainers(...args)),
    probe: (...args) => faults.call('probe', () => base.probe(...args)),
    webhooks: {
      createDeliveries: (...args) => faults.port('deliveries', webhooks.createDeliveries(...args)),
      createEventGroup: (...args) => faults.port('events', webhooks.createEventGroup(...args)),
      deliver: (...args) => faults.call('deliver', () => webhooks.deliver(...args)),
    },
  };
}

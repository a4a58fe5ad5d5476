import type { Instance, InstanceDraft } from '@ephemera/domain';
import {
  manualClock,
  memoryContainers,
  memoryInstances,
  memoryKillJobs,
  sampleDraft,
} from '@ephemera/test-support';
import { kill } from '../src/kill.ts';
import type { Containers, Instances, KillJobs } from '../src/ports.ts';
import { reconcile } from '../src/reconcile.ts';
import type { ReconcilePorts } from '../src/reconcile.ts';
import { spawn } from '../src/spawn.ts';

export interface Ports {
  readonly instances: Instances;
  readonly containers: Containers;
  readonly killJobs: KillJobs;
}

/** What the probe reports of an instance that does not serve. */
const FINDING = 'Port 8080 refused the connection.';

type DraftFields = Partial<InstanceDraft>;

/** Wraps the ports of one run, to record calls or to make them fail. The state is unchanged. */
export type Through = (ports: Ports) => Ports;

/** One host in memory with a manual clock. The functions call the real use cases. */
export function oneHost(
  options: { beforeStart?: (instance: Instance) => void; /** ms */ tombstone?: number } = {},
) {
  const { tombstone, ...more } = options;
  const clock = manualClock();
  const { now } = clock;
  const instances = memoryInstances({ now, ...(tombstone !== undefined && { tombstone }) });
  const killJobs = memoryKillJobs(now);
  const containers = memoryContainers({ now, ...more });
  const ports: Ports = { instances, containers, killJobs };
  const serving = new Set<string>();
  const repaired: string[] = [];
  const faults: unknown[] = [];
  const requeued: string[] = [];
  const killed: Instance[] = [];
  const onKilled = (instance: Instance) => killed.push(instance);
  let addresses = 0;

  const host = {
    clock,
    instances,
    killJobs,
    containers,
    repaired,
    faults,
    /** Ids whose spawn job reconciliation has added. */
    requeued,
    /** Every instance that was reported as ended. */
    killed,
    /** Makes the probe succeed. */
    serve: (instance: { id: string }) => serving.add(instance.id),
    /** An instance that becomes ready as soon as it has a container. */
    async pending(input: DraftFields = {}) {
      const instance = await instances.create(sampleDraft(input));
      serving.add(instance.id);
      return instance;
    },
    /** An instance that becomes ready only after `serve`. */
    silent: (input: DraftFields = {}) => instances.create(sampleDraft(input)),
    spawn(
      { id, generation }: { id: string; generation: number },
      run: { through?: Through; onProbe?: (instance: Instance) => Promise<void> | void } = {},
    ) {
      return spawn(
        {
          ...(run.through?.(ports) ?? ports),
          onKilled,
          host: 'a',
          addresses: { next: () => Promise.resolve(++addresses) },
          async probe(instance) {
            await run.onProbe?.(instance);
            return serving.has(instance.id) ? { ready: true } : { ready: false, finding: FINDING };
          },
          pause(ms) {
            clock.advance(ms);
            return Promise.resolve();
          },
        },
        id,
        generation,
      );
    },
    kill: (id: string, reason: Parameters<typeof kill>[2], through: Through = (all) => all) =>
      kill({ ...through(ports), onKilled }, id, reason),
    reconcile: (through: Through = (all) => all, more: Partial<ReconcilePorts> = {}) =>
      reconcile({
        ...more,
        ...through(ports),
        onKilled,
        host: 'a',
        spawns: {
          add({ id }) {
            requeued.push(id);
            return Promise.resolve();
          },
        },
        onRepair: (kind) => repaired.push(kind),
        onError: (_, __, error) => faults.push(error),
      }),
    /** Runs the due kill jobs, as a worker does. A job whose lease has not ended waits again. */
    async fireKills() {
      for (const job of killJobs.takeDue()) {
        const done = await kill({ ...ports, onKilled }, job.id, 'due');
        killJobs.done(job, done.kind === 'leased' ? done.remaining : undefined);
      }
    },
    async ready(input: DraftFields = {}) {
      const instance = await host.pending(input);
      await host.spawn(instance);
      const ready = await instances.get(instance.id);
      if (ready?.state !== 'ready') throw new Error('it did not become ready');
      return ready;
    },
    containersOf: (id: string) =>
      [...containers.containers.values()].filter((container) => container.id === id),
    stateOf: async (id: string) => (await instances.get(id))?.state,
  };
  return host;
}

/** Records every call that changes something, as `name` or `name(reason)`. */
export function recording(calls: string[]): Through {
  return wrapping((name, args, action) => {
    const quiet = [
      'now',
      'inspect',
      'lastLines',
      'list',
      'get',
      'ofHost',
      'unassignedOverdue',
      'pendingWithoutHost',
      'listDelayed',
    ];
    if (!quiet.includes(name))
      calls.push(name === 'startDraining' ? `${name}(${String(args[1])})` : name);
    return action();
  });
}

export class Crash extends Error {}

/** The process crashes after its nth call. No later call is executed. */
export function crashingAfter(calls: number): Through {
  let done = 0;
  return wrapping(async (_, __, action) => {
    if (done >= calls) throw new Crash();
    const result = await action();
    done++;
    if (done >= calls) throw new Crash();
    return result;
  });
}

function wrapping(
  call: (name: string, args: unknown[], action: () => Promise<unknown>) => Promise<unknown>,
): Through {
  const wrap = <T extends object>(port: T): T =>
    new Proxy(port, {
      get(target, name, receiver) {
        const method: unknown = Reflect.get(target, name, receiver);
        if (typeof method !== 'function') return method;
        const action = method as (...args: unknown[]) => Promise<unknown>;
        return (...args: unknown[]) => call(String(name), args, () => action(...args));
      },
    });
  return ({ instances, containers, killJobs }) => ({
    instances: wrap(instances),
    containers: wrap(containers),
    killJobs: wrap(killJobs),
  });
}

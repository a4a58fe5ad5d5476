import { sampleDraft, sampleTemplate } from '@ephemera/test-support';
import { endExitedInstance, kill, requestKill } from '../../src/kill.ts';
import { acquireInstance } from '../../src/acquire-instance.ts';
import { reconcile } from '../../src/reconcile.ts';
import { renew } from '../../src/renew.ts';
import { spawn } from '../../src/spawn.ts';
import { pause, resume } from '../../src/suspend.ts';
import type { Actor, Turns } from './turns.ts';
import type { Withdrawable, WithdrawalReason } from '../../src/ports.ts';
import type { Host, World } from './world.ts';

/** The use cases. A test may replace one of them by a version without one rule. */
export const VERBS = {
  spawn,
  kill,
  endExitedInstance,
  renew,
  requestKill,
  pause,
  resume,
  reconcile,
  acquireInstance,
};
export type Verbs = typeof VERBS;

export const TTL = 30_000;
export const POOL_AGE = 120_000;
export const POOL = 'p';
/** Maximum time that a scenario lets pass between a claim and its kill job, ms. */
const MAX_DELAY_MS = 6_000;
export const draft = (id: string, pauses = false) =>
  sampleDraft({
    id,
    template: sampleTemplate({
      timeout: TTL,
      maxTimeout: 300_000,
      ...(pauses && { onTimeout: 'pause' }),
    }),
    timeout: TTL,
  });

/** The actors that change an instance through the use cases. */
export function createActors(world: World, turns: Turns, verbs: Verbs = VERBS) {
  const { store, killJobs, clock, promised } = world;
  let addresses = 0;
  const promise = (id: string, deadline: number) => promised.set(id, deadline);

  const actors = {
    spawn: (host: Host, id: string, generation: number): Actor => ({
      name: `spawn on ${host}`,
      process: `worker ${host}`,
      async run(through) {
        const containers = through(world.containers(host));
        const spawned = await verbs.spawn(
          {
            host,
            instances: through(store),
            killJobs: through(killJobs),
            addresses: { next: () => Promise.resolve(++addresses) },
            containers,
            probe: () =>
              Promise.resolve(
                world.containersOf(id).some((item) => item.host === host && item.running)
                  ? { ready: true }
                  : { ready: false, finding: 'It does not run.' },
              ),
            pause: () => Promise.resolve(),
          },
          id,
          generation,
        );
        if (spawned.kind === 'ready' && spawned.instance.pool === undefined) {
          promise(id, spawned.instance.expiresAt);
        }
      },
    }),
    /** Runs the kill jobs that are due at its turn. */
    fire: (host: Host): Actor => ({
      name: `kill jobs of ${host}`,
      process: `worker ${host}`,
      async run(through) {
        const ports = {
          instances: through(store),
          containers: through(world.containers(host)),
          killJobs: through(killJobs),
        };
        for (const job of killJobs.takeDue(host)) {
          const killed = await verbs.kill(ports, job.id, 'due');
          killJobs.done(job, killed.kind === 'leased' ? killed.remaining : undefined);
        }
      },
    }),
    reconcile: (host: Host): Actor => ({
      name: `reconciliation of ${host}`,
      process: `worker ${host}`,
      run: (through) =>
        verbs.reconcile({
          host,
          instances: through(store),
          containers: through(world.containers(host)),
          killJobs: through(killJobs),
          spawns: { add: () => Promise.resolve() },
          onRepair: () => undefined,
          onError: (_, __, error) => world.faults.push(`a repair failed: ${String(error)}`),
        }),
    }),
    renew: (id: string, timeout: number): Actor => ({
      name: 'renewal',
      process: 'proxy',
      async run(through) {
        const leases = through(store);
        const ports = { leases, killJobs: through(killJobs), now: () => store.now() };
        const renewed = await verbs.renew(ports, id, { timeout, shorten: false });
        if (renewed.kind === 'renewed') promise(id, renewed.instance.expiresAt);
      },
    }),
    requestKill: (id: string): Actor => ({
      name: 'request to kill',
      process: 'proxy',
      run: (through) =>
        verbs.requestKill({ instances: through(store), killRequests: through(killJobs) }, id),
    }),
    pause: (host: Host, id: string): Actor => ({
      name: 'pause',
      process: `worker ${host}`,
      run: (through) => verbs.pause(suspending(host, through), id),
    }),
    resume: (host: Host, id: string): Actor => ({
      name: 'resume',
      process: `worker ${host}`,
      run: (through) => verbs.resume(suspending(host, through), id),
    }),
    claimWarm: (): Actor => ({
      name: 'claim',
      process: 'proxy',
      async run(through) {
        const instances = through(store);
        const intake = {
          claimWarm: instances.claimWarm,
          confirm: () => Promise.resolve(),
          withdraw: (withdrawn: Withdrawable, _: unknown, reason: WithdrawalReason) =>
            'generation' in withdrawn
              ? instances.startDraining(
                  withdrawn.id,
                  reason === 'unreachable' ? 'exited' : 'request',
                )
              : Promise.resolve({ kind: 'absent' as const }),
          createOrQueue: () => Promise.resolve({ kind: 'full' as const, limit: 'hosts' as const }),
        };
        const got = await verbs.acquireInstance(
          {
            intake,
            instances,
            spawns: { add: () => Promise.resolve() },
            killJobs: through(killJobs),
            killRequests: through(killJobs),
            isReachable: ({ id }) =>
              Promise.resolve(world.containersOf(id).some((it) => it.running)),
            refills: { request: () => Promise.resolve() },
            onError: (error) => world.faults.push(`a claim was not completed: ${String(error)}`),
          },
          draft('a1'),
          {},
          POOL,
        );
        if (got.kind !== 'claimed') return;
        const { id, expiresAt } = got.instance;
        world.claimed.add(id);
        // The kill job may be late by the time between the claim and the schedule call.
        // Reconciliation corrects that.
        const isScheduled = killJobs
          .scheduled()
          .some((job) => job.id === id && job.dueAt <= expiresAt + MAX_DELAY_MS);
        const isThere = (await store.get(id))?.state === 'ready';
        if (isThere && !isScheduled && clock.now() < expiresAt) {
          world.faults.push('an instance was handed out without a kill job in time');
        }
        promise(id, expiresAt);
      },
    }),
    /** Time passes. */
    wait: (ms: number): Actor => ({
      name: `${ms} ms`,
      process: 'time',
      run() {
        clock.advance(ms);
        return Promise.resolve();
      },
    }),
    exit: (host: Host, id: string): Actor => ({
      name: 'exit',
      process: 'container',
      run: () => world.exit(host, id),
    }),
    /** The daemon of a host reports every exit to its worker. */
    reportExits: (host: Host): Actor => ({
      name: `exits of ${host}`,
      process: `worker ${host}`,
      async run(through) {
        const ports = {
          host,
          instances: through(store),
          containers: through(world.containers(host)),
          killJobs: through(killJobs),
        };
        for (const exit of world.exits[host].splice(0)) await verbs.endExitedInstance(ports, exit);
      },
    }),
    /** Redis loses all data since the creation of this actor, including the queues. */
    loss: (): Actor => {
      const back = world.save();
      return {
        name: 'loss',
        process: 'redis',
        run() {
          back();
          return Promise.resolve();
        },
      };
    },
    /** A worker crashes. Another process of the same host runs its jobs again. */
    crash: (host: Host): Actor => ({
      name: `crash of worker ${host}`,
      process: 'fault',
      run() {
        const cut = turns.end(`worker ${host}`);
        killJobs.takeBack(host);
        for (const actor of cut) {
          if (!actor.name.startsWith('spawn')) continue;
          turns.start({ ...actor, name: `${actor.name} again`, process: `second ${host}` });
        }
        turns.start({ ...actors.fire(host), process: `second ${host}` });
        return Promise.resolve();
      },
    }),
  };
  return actors;

  function suspending(host: Host, through: <T extends object>(port: T) => T) {
    return {
      suspensions: through(store),
      instances: through(store),
      containers: through(world.containers(host)),
      killJobs: through(killJobs),
    };
  }
}

export type Actors = ReturnType<typeof createActors>;

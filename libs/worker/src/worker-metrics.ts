import type { Instance } from '@ephemera/domain';
import { Counter, Gauge, Histogram, collectTogether } from '@ephemera/process';
import type { Registry, Logger } from '@ephemera/process';
import type { QueueDepth } from '@ephemera/queue';
import type { EventLogState } from '@ephemera/store';
import { withDeadline } from './docker/docker-client.ts';
import { CHECK_TIMEOUT_MS } from './limits.ts';

/** The metrics of a worker. */
export interface WorkerMetrics {
  readonly spawns: Counter<'outcome'>;
  readonly spawnSeconds: Histogram;
  readonly startRefusals: Counter<'reason'>;
  readonly kills: Counter<'reason'>;
  readonly killLatenessSeconds: Histogram;
  readonly repairs: Counter<'kind'>;
  readonly reconcileSeconds: Histogram;
  readonly webhookDrops: Counter<'webhook'>;
  readonly dockerErrors: Counter<'reason'>;
}

export function createWorkerMetrics(
  registry: Registry,
  read: {
    instances: () => Promise<number>;
    overlaps: () => number;
    eventLog: () => Promise<EventLogState>;
    /** Deliveries of webhooks that have not ended. */
    deliveries: () => Promise<number>;
    queues: () => Promise<readonly QueueDepth[]>;
    /** Epoch milliseconds. */
    now: () => number;
  },
): WorkerMetrics {
  const registers = [registry];
  new Gauge({
    name: 'ephemera_instances',
    help: 'Live instances of the whole deployment, as counted in Redis',
    registers,
    async collect() {
      // While the store is unavailable, the gauge keeps its last value, so that the scrape
      // succeeds.
      const count = withDeadline('count', CHECK_TIMEOUT_MS, read.instances());
      await count.then((found) => this.set(found)).catch(() => undefined);
    },
  });
  new Gauge({
    name: 'ephemera_stored_events',
    help: 'Events of the whole deployment that Redis stores, about 50,000 at most',
    registers,
    async collect() {
      const state = withDeadline('events', CHECK_TIMEOUT_MS, read.eventLog());
      await state.then(({ count }) => this.set(count)).catch(() => undefined);
    },
  });
  new Gauge({
    name: 'ephemera_oldest_event_timestamp_seconds',
    help: 'Time of the oldest stored event, in seconds since the epoch. A reader that is further behind loses events',
    registers,
    async collect() {
      const state = withDeadline('events', CHECK_TIMEOUT_MS, read.eventLog());
      await state.then(({ oldestAt = 0 }) => this.set(oldestAt / 1000)).catch(() => undefined);
    },
  });
  new Gauge({
    name: 'ephemera_webhook_deliveries_waiting',
    help: 'Webhook deliveries of the whole deployment that wait for an attempt, 10,000 at most. Beyond that, webhooks lose events',
    registers,
    async collect() {
      const count = withDeadline('deliveries', CHECK_TIMEOUT_MS, read.deliveries());
      await count.then((found) => this.set(found)).catch(() => undefined);
    },
  });
  const oldest = new Gauge({
    name: 'ephemera_queue_oldest_job_age_seconds',
    help: 'Time that the oldest waiting job of a queue has waited, in seconds; 0 if none waits',
    labelNames: ['queue'],
    registers,
  });
  const jobsByState = new Gauge({
    name: 'ephemera_queue_jobs',
    help: 'Jobs of the spawn queue and of the kill queue of this host, by state. A kill job is delayed until the deadline of its instance',
    labelNames: ['queue', 'state'],
    registers,
  });
  collectTogether([oldest, jobsByState], async () => {
    const depths = withDeadline('queues', CHECK_TIMEOUT_MS, read.queues());
    const found = await depths.catch(() => []);
    for (const { queue, jobs, oldestAt } of found) {
      for (const [state, count] of Object.entries(jobs)) jobsByState.set({ queue, state }, count);
      const age = oldestAt === undefined ? 0 : Math.max(0, read.now() - oldestAt);
      oldest.set({ queue }, age / 1000);
    }
  });
  new Gauge({
    name: 'ephemera_host_network_overlaps',
    help: 'Networks of this host that overlap networks of another live host. Above 0, the worker starts no instance',
    registers,
    collect() {
      this.set(read.overlaps());
    },
  });
  return {
    spawns: new Counter({
      name: 'ephemera_spawns_total',
      help: 'Completed spawn jobs, by outcome',
      labelNames: ['outcome'],
      registers,
    }),
    spawnSeconds: new Histogram({
      name: 'ephemera_spawn_seconds',
      help: 'Time from the creation of an instance until it is ready',
      buckets: [0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60],
      registers,
    }),
    startRefusals: new Counter({
      name: 'ephemera_start_refusals_total',
      help: 'Starts and pools in Redis that this worker refused, because no signing key has signed them, by reason',
      labelNames: ['reason'],
      registers,
    }),
    kills: new Counter({
      name: 'ephemera_kills_total',
      help: 'Instances removed, by reason',
      labelNames: ['reason'],
      registers,
    }),
    killLatenessSeconds: new Histogram({
      name: 'ephemera_kill_lateness_seconds',
      help: 'Time from the deadline of an instance until its route is withdrawn',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
      registers,
    }),
    repairs: new Counter({
      name: 'ephemera_repairs_total',
      help: 'Differences between Docker and Redis that reconciliation has repaired, by kind',
      labelNames: ['kind'],
      registers,
    }),
    reconcileSeconds: new Histogram({
      name: 'ephemera_reconcile_seconds',
      help: 'Duration of a reconciliation',
      registers,
    }),
    webhookDrops: new Counter({
      name: 'ephemera_webhook_deliveries_dropped_total',
      help: 'Deliveries that the full queue did not take, by webhook',
      labelNames: ['webhook'],
      registers,
    }),
    dockerErrors: new Counter({
      name: 'ephemera_docker_errors_total',
      help: 'Calls to the Docker daemon that failed because of the daemon or the connection, by reason',
      labelNames: ['reason'],
      registers,
    }),
  };
}

/** Counts and logs every instance that this worker has ended. */
export function recordKill(
  logger: Logger,
  metrics: Pick<WorkerMetrics, 'kills' | 'killLatenessSeconds'>,
): (instance: Instance) => void {
  return ({ id, generation, reason, message, lastTransitionAt, expiresAt }) => {
    metrics.kills.inc({ reason: reason ?? 'unknown' });
    if (reason === 'ttl') {
      metrics.killLatenessSeconds.observe(Math.max(0, lastTransitionAt - expiresAt) / 1000);
    }
    logger.info({ id, generation, reason, message }, 'instance removed');
  };
}

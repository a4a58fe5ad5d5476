import { AssignedToOtherHostError, HostCapacityError, spawn } from '@ephemera/lifecycle';
import type { SpawnPorts } from '@ephemera/lifecycle';
import { SPAWN_QUEUE } from '@ephemera/queue';
import type { SpawnJob } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import { DelayedError } from 'bullmq';
import type { Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { requeueOnShutdown, startJobWorker } from './job-worker.ts';
import { NO_CAPACITY_DELAY_MS, OTHER_HOST_DELAY_MS, SPAWN_CONCURRENCY } from './limits.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

export interface QueueWorkerOptions {
  readonly connection: Redis;
  readonly prefix: string;
  readonly logger: Logger;
  readonly metrics: WorkerMetrics;
  /** Starts the queue's worker; tests wrap it, for example to run every job twice. */
  readonly startJobWorker?: typeof startJobWorker;
  /** Time that running jobs have to finish on shutdown, ms. */
  readonly finishTimeoutMs?: number;
}

/** A worker of a queue. `stop` waits for its jobs, then requeues the rest. */
export interface QueueWorker {
  readonly worker: Worker;
  stop(): Promise<void>;
}

/** Processes spawn jobs. Every worker takes jobs from the same queue. */
export function startSpawnWorker(ports: SpawnPorts, options: QueueWorkerOptions): QueueWorker {
  const { logger, metrics, connection, prefix, startJobWorker: start = startJobWorker } = options;
  const requeued = requeueOnShutdown(logger, options.finishTimeoutMs);
  const worker = start<SpawnJob, { kind: string; message?: string }>(
    SPAWN_QUEUE,
    async (job, token) => {
      const { id, generation } = job.data;
      const log = logger.child({ id, generation });
      log.info({ attempt: job.attemptsStarted }, 'spawn begins');
      const spawned = await requeueForOtherHost(job, token, () =>
        requeued.runOrRequeue(job, token, (wasRequeued) =>
          spawn({ ...ports, wasRequeued }, id, generation),
        ),
      );
      metrics.spawns.inc({ outcome: spawned.kind });
      if (spawned.kind === 'ready') {
        const { startedAt = 0, createdAt, address, expiresAt, template } = spawned.instance;
        const took = startedAt - createdAt;
        metrics.spawnSeconds.observe(took / 1000);
        log.info({ address, expiresAt, template: template.name, took }, 'instance ready');
        return { kind: 'ready' };
      }
      if (spawned.kind === 'failed') log.warn({ message: spawned.message }, 'start failed');
      else log.info('spawn superseded');
      return spawned;
    },
    { logger, connection, prefix, concurrency: SPAWN_CONCURRENCY },
  );
  return { worker, stop: () => requeued.stop(worker) };
}

/** Requeues a job that another host must handle. This does not use an attempt. */
async function requeueForOtherHost<T>(
  job: Job,
  token: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isAssigned = error instanceof AssignedToOtherHostError;
    if (!isAssigned && !(error instanceof HostCapacityError)) throw error;
    await job.moveToDelayed(
      Date.now() + (isAssigned ? OTHER_HOST_DELAY_MS : NO_CAPACITY_DELAY_MS),
      token,
    );
    throw new DelayedError();
  }
}

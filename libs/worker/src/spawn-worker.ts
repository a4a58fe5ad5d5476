import { AssignedToOtherHostError, HostCapacityError, spawn } from '@ephemera/lifecycle';
import type { SpawnPorts } from '@ephemera/lifecycle';
import { SPAWN_QUEUE } from '@ephemera/queue';
import type { SpawnJob } from '@ephemera/queue';
import type { Logger } from '@ephemera/process';
import { DelayedError } from 'bullmq';
import type { Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { requeueOnShutdown } from './requeue-on-shutdown.ts';
import { startJobWorker } from './job-worker.ts';
import type { WorkerMetrics } from './worker-metrics.ts';

export interface QueueWorkerOptions {
  readonly connection: Redis;
  readonly prefix: string;
  readonly logger: Logger;
  readonly metrics: WorkerMetrics;
  /** Starts the queue's worker; tests wrap it, for example to run every job twice. */
  readonly startJobWorker?: typeof startJobWorker;
  /** How long jobs under way have to end by themselves at a stop, ms. */
  readonly finishTimeoutMs?: number;
}

/** A worker of a queue, and how it stops: its jobs end, or go back to the queue. */
export interface QueueWorker {
  readonly worker: Worker;
  stop(): Promise<void>;
}

/**
 * How many starts may be begun and not finished: most of them wait, for an image or for an answer,
 * and hold up nobody. What asks the daemon for more is bounded where it asks.
 */
const CONCURRENCY = 100;

/** Works off the spawn jobs: any worker of any host takes the next one. */
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
    { logger, connection, prefix, concurrency: CONCURRENCY },
  );
  return { worker, stop: () => requeued.stop(worker) };
}

/** How long a job waits that this host has no room for, for another to take it, milliseconds. */
const NO_CAPACITY_DELAY_MS = 100;
/** How long a job waits that another host is at, for a worker of that host to take it. */
const OTHER_HOST_DELAY_MS = 1_000;

/** Puts a job back that is for another host; that spends no attempt. */
async function requeueForOtherHost<T>(
  job: Job,
  token: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isTheirs = error instanceof AssignedToOtherHostError;
    if (!isTheirs && !(error instanceof HostCapacityError)) throw error;
    await job.moveToDelayed(
      Date.now() + (isTheirs ? OTHER_HOST_DELAY_MS : NO_CAPACITY_DELAY_MS),
      token,
    );
    throw new DelayedError();
  }
}

import { ApiError } from '@ephemera/domain';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import { DATASET_REPORT_TIMEOUT_MS, DATASET_SETTLE_MS, HOST_ALIVE_TIMEOUT_MS } from './limits.ts';
import { loadScript, runScript } from './run-script.ts';

// A Redis that has lost all of its data knows no instance, until each host has compared its containers
// with it and restored what it lacks. Meanwhile an unknown id may belong to a living instance. A data
// set is identified by a key that is lost together with the data.

const script = loadScript('dataset');

/** The data set of Redis, for the workers. */
export interface Datasets {
  /** Returns the identifier of the data set, and creates it where there is none. */
  current(): Promise<string>;
  /**
   * Records that a host has compared its containers with a data set, and restored all instances that
   * it lacked. Has no effect where Redis has lost that data set. Returns the present one.
   */
  report(host: string, dataset: string): Promise<string>;
}

export function redisDatasets(redis: Redis, keys: Keys): Datasets {
  const run = async (...reported: string[]) =>
    String(await runScript(redis, script, [keys.dataset, keys.reported], reported));
  const current = async () => (await redis.get(keys.dataset)) ?? run();
  return { current, report: (host, dataset) => run(host, dataset) };
}

/** Which hosts are alive, and which of them have reported, as one read of Redis. */
export interface DatasetReports {
  /** The store's clock, epoch ms. */
  readonly now: number;
  readonly dataset: string | null;
  /** Hosts with their last heartbeat, epoch ms. */
  readonly seenAt: ReadonlyMap<string, number>;
  readonly reported: ReadonlySet<string>;
}

/** How long the result of one check serves further requests, ms. */
const CHECK_INTERVAL_MS = 100;

/**
 * Decides whether an unknown id is an instance that does not exist, or one that Redis may have lost.
 *
 * A new data set may follow the loss of another one. Nothing in Redis tells: its first worker may
 * have started after the loss. So an id counts as lost until the data set is `DATASET_SETTLE_MS` old
 * and every host with a live heartbeat has reported, for `DATASET_REPORT_TIMEOUT_MS` at most.
 */
export class DatasetWatch {
  readonly #read: () => Promise<DatasetReports | undefined>;
  /** Monotonic milliseconds. */
  readonly #clock: () => number;
  /** Whether this process has seen a data set. */
  #hasSeen = false;
  /** The data set of which all hosts have reported. */
  #complete: string | undefined;
  /** Since when there is no data set. */
  #absentSince: number | undefined;
  #check:
    | { readonly dataset: string | null; readonly at: number; readonly result: Promise<boolean> }
    | undefined;

  /** @param read undefined where Redis does not answer in time */
  constructor(read: () => Promise<DatasetReports | undefined>, clock: () => number) {
    this.#read = read;
    this.#clock = clock;
  }

  /** Records the data set that a read has seen; null: Redis has none. */
  note(dataset: string | null): void {
    this.#hasSeen ||= dataset !== null;
    this.#absentSince = dataset === null ? (this.#absentSince ?? this.#clock()) : undefined;
  }

  /**
   * Whether an id does not exist, because Redis has lost nothing. False: all hosts have reported
   * since the read that did not find the id, so that it must be repeated.
   * @param dataset the data set of that read
   * @throws ApiError `rebuilding` if a host may still restore the instance, `store_unavailable` if Redis
   * does not answer in time
   */
  async confirmsAbsence(dataset: string | null): Promise<boolean> {
    this.note(dataset);
    if (dataset !== null && dataset === this.#complete) return true;
    if (!(await this.#isComplete(dataset))) throw new ApiError({ kind: 'rebuilding' });
    return dataset === null;
  }

  /** One check serves all requests of an interval, however many unknown ids arrive. */
  #isComplete(dataset: string | null): Promise<boolean> {
    const now = this.#clock();
    const last = this.#check;
    if (last?.dataset === dataset && now < last.at + CHECK_INTERVAL_MS) return last.result;
    const result = this.#readAndDecide(dataset);
    this.#check = { dataset, at: now, result };
    return result;
  }

  async #readAndDecide(dataset: string | null): Promise<boolean> {
    const reports = await this.#read();
    if (reports === undefined) throw new ApiError({ kind: 'store_unavailable' });
    if (reports.dataset !== dataset) return false;
    const { now, seenAt, reported } = reports;
    if (dataset === null) {
      // A process that has never seen a data set may have started beside an empty Redis without
      // workers. A worker that Redis has lost writes a data set within the settle time.
      const limit = this.#hasSeen ? DATASET_REPORT_TIMEOUT_MS : DATASET_SETTLE_MS;
      return this.#clock() >= (this.#absentSince ?? Infinity) + limit;
    }
    // Redis' clock may have been set back since: then the data set is not new either.
    const age = Math.abs(now - Number(dataset));
    const alive = [...seenAt].filter(([, at]) => at >= now - HOST_ALIVE_TIMEOUT_MS);
    const haveReported = alive.length > 0 && alive.every(([host]) => reported.has(host));
    // Within the settle time Redis learns which hosts are alive.
    const isSettled = age >= DATASET_SETTLE_MS;
    if (age < DATASET_REPORT_TIMEOUT_MS && !(haveReported && isSettled)) return false;
    this.#complete = dataset;
    return true;
  }
}

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
  /**
   * Returns the identifier of the data set, and creates it where there is none.
   * @param known the data set that this worker knew last
   */
  current(host: string, known: string | undefined): Promise<string>;
  /**
   * Records that a host has compared its containers with a data set, and restored all instances that
   * it lacked. Has no effect where Redis has lost that data set. Returns the present one.
   */
  report(host: string, dataset: string): Promise<string>;
}

export function redisDatasets(redis: Redis, keys: Keys): Datasets {
  const run = async (host: string, known: string, compared: string) =>
    String(await runScript(redis, script, [keys.dataset, keys.reported], [host, known, compared]));
  return {
    current: (host, known = '') => run(host, known, ''),
    report: (host, dataset) => run(host, dataset, dataset),
  };
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
 * A process that has seen a data set notices that it is gone. From then on an id counts as lost until
 * every host with a live heartbeat has reported, for `DATASET_REPORT_TIMEOUT_MS` at most. A process
 * that has never seen one starts beside a new Redis.
 */
export class DatasetWatch {
  readonly #read: () => Promise<DatasetReports | undefined>;
  /** Monotonic milliseconds. */
  readonly #clock: () => number;
  /** The data set that this process has used. */
  #used: string | undefined;
  /** The data set of which all hosts have reported. */
  #complete: string | undefined;
  /** When the loss was noticed, while there is no data set. */
  #lostAt: number | undefined;
  #check:
    | { readonly dataset: string | null; readonly at: number; readonly result: Promise<boolean> }
    | undefined;

  /** @param read undefined where Redis does not answer in time */
  constructor(read: () => Promise<DatasetReports | undefined>, clock: () => number) {
    this.#read = read;
    this.#clock = clock;
  }

  /** Records the data set that a read has seen. */
  note(dataset: string | null): void {
    if (dataset !== null) this.#used ??= dataset;
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
    // Redis is new: no worker has ever registered in it.
    if (this.#used === undefined) return true;
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
      this.#lostAt ??= this.#clock();
      return this.#clock() >= this.#lostAt + DATASET_REPORT_TIMEOUT_MS;
    }
    this.#lostAt = undefined;
    const isLost = dataset !== this.#used || dataset.endsWith(':lost');
    const age = now - Number.parseInt(dataset, 10);
    const alive = [...seenAt].filter(([, at]) => at >= now - HOST_ALIVE_TIMEOUT_MS);
    const haveReported = alive.every(([host]) => reported.has(host));
    // After a loss, Redis learns within this time which hosts are alive.
    const isSettled = !isLost || (alive.length > 0 && age >= DATASET_SETTLE_MS);
    if (age < DATASET_REPORT_TIMEOUT_MS && !(haveReported && isSettled)) return false;
    this.#used = dataset;
    this.#complete = dataset;
    return true;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { disturb } from '../churn/disturb.ts';
import type { Fence } from '../churn/fences.ts';
import { Visitor } from '../churn/visitor.ts';
import type { Replica } from '../testbed.ts';
import { randomFrom, type Random } from '@ephemera/test-support';
import { type InstancesSite, startInstancesSite } from './instances-site.ts';

export interface ContainerChurnOptions {
  /** The run ends after this many responses of instances, or after `atMostMs`. */
  readonly answers: number;
  readonly atMostMs: number;
  readonly seed: number;
  /**
   * The checks that the replicas run without. The worker always runs without its address sequence.
   */
  readonly removed?: readonly Fence[];
  readonly onProgress?: (line: string) => void;
}

export interface ContainerChurnResult {
  readonly answers: number;
  /** Responses of another container than the requested one. */
  readonly wrongAnswers: number;
  /** Requests that reached another container than the requested one. */
  readonly strays: number;
  readonly instances: number;
  /** Instances at an address that an earlier instance of the run had. */
  readonly reuses: number;
  readonly addresses: number;
  /** From the request to end an instance until the next one was ready at its address, ms. */
  readonly reusedAfter: { readonly least: number; readonly median: number };
  readonly notStarted: number;
  /** Other outcomes: 404, 410, 502, 503 and closed connections. */
  readonly refused: Readonly<Record<string, number>>;
  readonly disturbances: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** A sequence of containers. Visitors keep requesting the dead ones. */
interface Slot {
  current: string | undefined;
  readonly past: string[];
}

const SLOTS = 5;
const VISITORS = 6;
const PAST = 4;

/** Real containers that live for two seconds each, killed and started continuously. */
export async function containerChurn(
  options: ContainerChurnOptions,
): Promise<ContainerChurnResult> {
  const site = await startInstancesSite(options.removed ?? []);
  try {
    return await new ContainerChurn(site, options).run();
  } finally {
    await site.stop();
  }
}

class ContainerChurn {
  readonly #site: InstancesSite;
  readonly #options: ContainerChurnOptions;
  readonly #random: Random;
  readonly #stop = new AbortController();
  readonly #slots: readonly Slot[];
  readonly #refused: Record<string, number> = {};
  /** When the end of the last instance at an address was requested. */
  readonly #endedAt = new Map<string, number>();
  readonly #gaps: number[] = [];
  #answers = 0;
  #wrong = 0;
  #strays = 0;
  #instances = 0;
  #notStarted = 0;

  constructor(site: InstancesSite, options: ContainerChurnOptions) {
    this.#site = site;
    this.#options = options;
    this.#random = randomFrom(options.seed);
    this.#slots = Array.from({ length: SLOTS }, () => ({ current: undefined, past: [] }));
  }

  async run(): Promise<ContainerChurnResult> {
    const { testbed, replicas, relays } = this.#site;
    const { answers, atMostMs, seed, onProgress } = this.#options;
    const started = performance.now();
    const work = [
      ...this.#slots.map((slot) => this.#runSlot(slot)),
      ...replicas.flatMap((replica) =>
        Array.from({ length: VISITORS }, () => this.#visit(replica)),
      ),
    ];
    const disturbing = disturb(
      { testbed, replicas, relays, partitions: false },
      randomFrom(seed + 1),
      this.#stop.signal,
    );
    const failed = Promise.all(work).then(() => undefined);
    let reported = started;
    while (this.#answers < answers && performance.now() < started + atMostMs) {
      await Promise.race([sleep(50), failed]);
      this.#site.check();
      if (performance.now() - reported < 10_000) continue;
      reported = performance.now();
      onProgress?.(
        `${this.#answers} answers, ${this.#wrong} wrong, ${this.#strays} strays, ` +
          `${this.#instances} instances, ${this.#gaps.length} at used addresses`,
      );
    }
    this.#stop.abort();
    const disturbances = await disturbing;
    await failed;
    const gaps = this.#gaps.sort((a, b) => a - b);
    return {
      answers: this.#answers,
      wrongAnswers: this.#wrong,
      strays: this.#strays,
      instances: this.#instances,
      reuses: gaps.length,
      addresses: this.#endedAt.size,
      reusedAfter: {
        least: Math.round(gaps[0] ?? Number.NaN),
        median: Math.round(gaps[gaps.length >> 1] ?? Number.NaN),
      },
      notStarted: this.#notStarted,
      refused: this.#refused,
      disturbances,
      seconds: Math.round((performance.now() - started) / 1000),
    };
  }

  /** Starts an instance and ends it after a moment, repeatedly. */
  async #runSlot(slot: Slot): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // Half of them end at their deadline, by the kill job, and half on request.
      const isOnRequest = this.#random(2) === 0;
      const made = await this.#site.create(isOnRequest ? 60 : 3);
      if (made === undefined) {
        this.#notStarted++;
        continue;
      }
      const { id, address } = made;
      this.#instances++;
      const endedAt = this.#endedAt.get(address);
      if (endedAt !== undefined) this.#gaps.push(performance.now() - endedAt);
      slot.current = id;
      await sleep(isOnRequest ? 500 + this.#random(3_000) : 3_000);
      this.#endedAt.set(address, performance.now());
      slot.past.unshift(id);
      const [old] = slot.past.splice(PAST);
      slot.current = undefined;
      if (isOnRequest) await this.#site.end(id);
      // If the daemon removes more slowly than it starts, a backlog would grow.
      await this.#site.gone(id, this.#stop.signal);
      if (old !== undefined) this.#strays += straysIn(await this.#site.readLog(old));
    }
    for (const id of slot.past) this.#strays += straysIn(await this.#site.readLog(id));
  }

  async #visit(replica: Replica): Promise<void> {
    const visitor = new Visitor(replica.publicPort);
    while (!this.#stop.signal.aborted) {
      const slot = this.#slots[this.#random(SLOTS)];
      const isDead = this.#random(4) === 0;
      const id = isDead ? slot?.past[this.#random(PAST)] : slot?.current;
      if (id === undefined) {
        await sleep(5);
        continue;
      }
      const answer = await visitor.ask(id);
      if (answer?.status === 200) {
        this.#answers++;
        if (answer.from !== id) this.#wrong++;
        continue;
      }
      const what = answer ? String(answer.status) : 'cut';
      this.#refused[what] = (this.#refused[what] ?? 0) + 1;
      // Otherwise a visitor that is refused at once would send nothing else, and use up the CPU.
      await sleep(10);
    }
    visitor.leave();
  }
}

function straysIn(log: string): number {
  return log.match(/^stray /gm)?.length ?? 0;
}

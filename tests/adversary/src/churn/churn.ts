import { setTimeout as sleep } from 'node:timers/promises';
import { type Testbed, newId, readyRoute, type Replica, startTestbed } from '../testbed.ts';
import { randomFrom, type Random } from '@ephemera/test-support';
import { disturb } from './disturb.ts';
import { type Fence, entryWithout } from './fences.ts';
import { type Listening, startInstance, type Stray } from './instance.ts';
import { type Relay, startRelay } from './relay.ts';
import { Visitor } from './visitor.ts';

export interface ChurnOptions {
  /** The run ends after this many responses of instances, or after `atMostMs`. */
  readonly answers: number;
  readonly atMostMs: number;
  readonly seed: number;
  /** The checks that the replicas run without. */
  readonly removed?: readonly Fence[];
  /** Kills the container first, and withdraws its route after the next one has its address. */
  readonly killsFirst?: boolean;
  /** Repeatedly disconnects one replica from Redis. */
  readonly partitions?: boolean;
  /** Gives every instance an unused address, like the product's workers. */
  readonly freshAddresses?: boolean;
  readonly onProgress?: (line: string) => void;
}

export interface ChurnResult {
  readonly answers: number;
  /** Responses of another instance than the requested one. */
  readonly wrongAnswers: number;
  /** Requests that reached another instance, whether or not it responded. */
  readonly strays: readonly Stray[];
  readonly requestsArrived: number;
  readonly instances: number;
  /** Other outcomes: 404, 410, 502, 503 and closed connections. */
  readonly refused: Readonly<Record<string, number>>;
  readonly disturbances: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** An address that one instance after another uses. */
interface Slot {
  current: Listening | undefined;
  /** Dead ids of this slot. Visitors keep requesting them. */
  readonly past: string[];
}

const SLOTS = 16;
const VISITORS = 12;
const REPLICAS = 3;
const PORT = 8080;
const PAST = 3;

/** Instances that live for half a second each, three replicas, and all disturbances. */
export async function churn(options: ChurnOptions): Promise<ChurnResult> {
  const testbed = await startTestbed();
  const relays: Relay[] = [];
  try {
    return await churnOn(testbed, relays, options);
  } finally {
    for (const relay of relays) relay.release();
    await testbed.stop();
    for (const relay of relays) relay.stop();
  }
}

async function churnOn(
  testbed: Testbed,
  relays: Relay[],
  options: ChurnOptions,
): Promise<ChurnResult> {
  const started = performance.now();
  const replicas: Replica[] = [];
  for (let i = 0; i < REPLICAS; i++) {
    const relay = await startRelay(testbed.redisPort);
    relays.push(relay);
    const entry = entryWithout('proxy', options.removed ?? []);
    replicas.push(await testbed.replica({ entry, redisPort: relay.port }));
  }
  const count = { answers: 0, wrong: 0, arrived: 0, instances: 0 };
  const strays: Stray[] = [];
  const refused: Record<string, number> = {};
  const stop = new AbortController();
  const random = randomFrom(options.seed);
  const slots: Slot[] = Array.from({ length: SLOTS }, () => ({ current: undefined, past: [] }));

  const onRequest = (stray: Stray | undefined) => {
    count.arrived++;
    if (stray) strays.push(stray);
  };
  const runSlot = async (slot: Slot, index: number) => {
    while (!stop.signal.aborted) {
      const turn = count.instances++;
      const address = options.freshAddresses
        ? `127.1.${(turn >> 8) & 255}.${turn & 255}`
        : `127.0.2.${index + 1}`;
      await replace(testbed, slot, address, options.killsFirst === true, random, onRequest);
      await sleep(300 + random(500));
    }
  };
  const visit = async (replica: Replica) => {
    const visitor = new Visitor(replica.publicPort);
    while (!stop.signal.aborted) {
      const slot = slots[random(SLOTS)];
      const dead = random(5) === 0 ? slot?.past[random(PAST)] : undefined;
      const id = dead ?? slot?.current?.id;
      if (id === undefined) {
        await sleep(1);
        continue;
      }
      const answer = await visitor.ask(id, random(50) === 0);
      if (answer?.status === 200 || answer?.status === 101) {
        count.answers++;
        if (answer.from !== id) count.wrong++;
      } else {
        const what = answer ? String(answer.status) : 'cut';
        refused[what] = (refused[what] ?? 0) + 1;
        // Otherwise a visitor that is refused at once would send nothing else.
        if (what === 'cut') await sleep(5);
      }
    }
    visitor.leave();
  };

  const churning = slots.map(runSlot);
  const disturbing = disturb(
    { testbed, replicas, relays, partitions: options.partitions === true },
    randomFrom(options.seed + 1),
    stop.signal,
  );
  const visiting = replicas.flatMap((replica) =>
    Array.from({ length: VISITORS }, () => visit(replica)),
  );
  const end = performance.now() + options.atMostMs;
  let reported = performance.now();
  while (count.answers < options.answers && performance.now() < end) {
    await sleep(50);
    const failed = replicas.find((replica) => replica.ended() !== undefined);
    if (failed) throw new Error(`a replica ended:\n${failed.log()}`);
    if (performance.now() - reported > 10_000) {
      reported = performance.now();
      options.onProgress?.(
        `${count.answers} answers, ${count.wrong} wrong, ${strays.length} strays`,
      );
    }
  }
  stop.abort();
  const disturbances = await disturbing;
  await Promise.all([...churning, ...visiting]);
  for (const { current } of slots) current?.kill();
  return {
    answers: count.answers,
    wrongAnswers: count.wrong,
    strays,
    requestsArrived: count.arrived,
    instances: count.instances,
    refused,
    disturbances,
    seconds: Math.round((performance.now() - started) / 1000),
  };
}

/** Ends the instance of a slot like a worker, and starts the next one at the same address. */
async function replace(
  testbed: Testbed,
  slot: Slot,
  address: string,
  killsFirst: boolean,
  random: Random,
  onRequest: (stray: Stray | undefined) => void,
): Promise<void> {
  const old = slot.current;
  const withdraw = async () => {
    if (!old) return;
    const gone = { generation: testbed.generation(), reason: 'request' } as const;
    await testbed.put(old.id, { state: 'draining', ...gone });
  };
  if (old) {
    slot.past.unshift(old.id);
    slot.past.length = Math.min(slot.past.length, PAST);
    slot.current = undefined;
  }
  if (!killsFirst) await withdraw();
  old?.kill();
  const id = newId();
  // One response in ten takes a while, so that instances are killed and replicas stopped during it.
  const pauseOf = () => (random(10) === 0 ? 1 + random(60) : 0);
  const next = await startInstance({ id, address, port: PORT }, pauseOf, onRequest);
  await testbed.put(id, readyRoute(testbed.generation(), { address, port: PORT }));
  slot.current = next;
  if (killsFirst) {
    await sleep(100);
    await withdraw();
  }
  if (old) await testbed.put(old.id, tombstone(testbed.generation()));
}

function tombstone(generation: number) {
  return { state: 'gone', generation, reason: 'request' } as const;
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, descriptors, installed, startChild, waitFor } from '@ephemera/test-support';
import type { ProbeLatency, ProbeLoadOptions, Window } from './probe-load.ts';
import { type Through, TARGETS } from './targets.ts';

/** How slowhttptest attacks: heads that do not end, bodies that trickle, answers hardly read. */
const ATTACKS = {
  headers: ['-H', '-i', '5', '-x', '24'],
  bodies: ['-B', '-i', '5', '-s', '8192', '-x', '10', '-t', 'POST'],
  reading: ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'],
} as const;

export type Attack = keyof typeof ATTACKS;
export const attacks = Object.keys(ATTACKS) as Attack[];

export interface SlowOptions {
  readonly connections: number;
  /** Who is attacked: Ephemera where absent. */
  readonly through?: Through;
  /** How often the others are measured without the attack and with it, in turn. */
  readonly rounds: number;
  /** How long the connections take to open, evenly, and how long they are held then. */
  readonly seconds: number;
}

export interface SlowResult {
  readonly attack: Attack;
  readonly through: Through;
  readonly connections: number;
  /** Most descriptors that the proxy had open at once, beyond those before the attack. */
  readonly max: number;
  /** Those still open five seconds after the last attack. */
  readonly left: number;
  /** What others noticed in each round. */
  readonly without: readonly ProbeLatency[];
  readonly during: readonly ProbeLatency[];
  /** How many times the p99 without the attack the one during it is, each the median over the rounds. */
  readonly opening: number;
  readonly held: number;
  readonly failed: Readonly<Record<string, number>>;
}

/**
 * Attacks an instance with slow clients, again and again, while others ask another one through the
 * same proxy at a steady rate.
 */
export async function slowClients(
  attack: Attack,
  { connections, rounds, seconds, through = 'ephemera' }: SlowOptions,
): Promise<SlowResult> {
  const slowhttptest = await installed('slowhttptest');
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-slow-'));
  const [attacked, asked] = [startHere('echo-instance.ts'), startHere('echo-instance.ts')];
  const portOf = async (instance: Child) => Number(await told(instance, /^port (\d+)$/m));
  const ports = { attacked: await portOf(attacked), asked: await portOf(asked) };
  const target = await TARGETS[through](ports);
  try {
    const probeLoad = { port: target.port, path: target.asked, perSecond: 200, seconds };
    const url = `${target.attacked}${attack === 'reading' ? 'big' : ''}`;
    // Longer than it is needed: its end is not to be measured.
    const rate = Math.ceil(connections / seconds);
    const common = ['-c', connections, '-r', rate, '-l', 2 * seconds + 10, '-p', 3].map(String);
    const startAttack = () =>
      // It takes what nobody else wants of the processors, as if it had others: it asks for all.
      startChild('chrt', [
        ...['--idle', '0', slowhttptest, ...common, ...ATTACKS[attack]],
        ...['-u', url, '-o', join(folder, 'slow')],
      ]);
    const without: ProbeLatency[] = [];
    const during: ProbeLatency[] = [];
    await measure(probeLoad);
    await sleep(5_000);
    const atRest = descriptors(target.pid);
    let max = 0;
    const watch = setInterval(() => {
      max = Math.max(max, descriptors(target.pid) - atRest);
    }, 100);
    for (let round = 0; round < rounds; round++) {
      without.push(await measure(probeLoad));
      during.push(await measure(probeLoad, startAttack));
      // What is kept for the next request is given up after 4 s of quiet.
      await sleep(5_000);
    }
    clearInterval(watch);
    const left = Math.max(0, descriptors(target.pid) - atRest);
    const median = (rounds: readonly ProbeLatency[], part: keyof ProbeLatency) => {
      const sorted = rounds.map((round) => round[part].p99).sort((a, b) => a - b);
      return ((sorted[(rounds.length - 1) >> 1] ?? 0) + (sorted[rounds.length >> 1] ?? 0)) / 2;
    };
    const ratio = (part: keyof ProbeLatency) => median(during, part) / median(without, part);
    const failed: Record<string, number> = {};
    const parts = during.flatMap(({ opening, held }) => [opening, held]);
    for (const [what, count] of parts.flatMap((part: Window) => Object.entries(part.failed))) {
      failed[what] = (failed[what] ?? 0) + count;
    }
    const [opening, held] = [ratio('opening'), ratio('held')];
    return { attack, through, connections, max, left, without, during, opening, held, failed };
  } finally {
    await attacked.stop();
    await asked.stop();
    await target.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param startAttack begins as soon as the others are warm, and ends with them */
async function measure(
  options: ProbeLoadOptions,
  startAttack?: () => Child,
): Promise<ProbeLatency> {
  const probeLoad = startHere('probe-load.ts', JSON.stringify(options));
  await told(probeLoad, /^(begun)$/m);
  const attacker = startAttack?.();
  await probeLoad.exit();
  await attacker?.stop(1_000);
  return JSON.parse(await told(probeLoad, /^(\{.*\})$/m)) as ProbeLatency;
}

function startHere(file: string, ...args: string[]): Child {
  return startChild(process.execPath, [join(import.meta.dirname, file), ...args]);
}

/** What a process says in a line. @throws where it ends without a word */
async function told(child: Child, line: RegExp): Promise<string> {
  await waitFor('a word of a process', () => line.test(child.log()) || child.ended() !== undefined);
  const [, word] = line.exec(child.log()) ?? [];
  if (word === undefined) throw new Error(`a process ended:\n${child.log()}`);
  return word;
}

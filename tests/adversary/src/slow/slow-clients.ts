import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, descriptors, installed, startChild, waitFor } from '@ephemera/test-support';
import type { ProbeLatency, ProbeLoadOptions, Window } from './probe-load.ts';
import { type Through, TARGETS } from './targets.ts';

/** The attacks of slowhttptest: endless heads, trickling bodies, responses that are hardly read. */
const ATTACKS = {
  headers: ['-H', '-i', '5', '-x', '24'],
  bodies: ['-B', '-i', '5', '-s', '8192', '-x', '10', '-t', 'POST'],
  reading: ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'],
} as const;

export type Attack = keyof typeof ATTACKS;
export const attacks = Object.keys(ATTACKS) as Attack[];

export interface SlowOptions {
  readonly connections: number;
  /** The attacked proxy; Ephemera by default. */
  readonly through?: Through;
  /** How often the other clients are measured without and with the attack. */
  readonly rounds: number;
  /** How long the connections take to open, evenly, and how long they are then held. */
  readonly seconds: number;
}

export interface SlowResult {
  readonly attack: Attack;
  readonly through: Through;
  readonly connections: number;
  /** Maximum number of open descriptors of the proxy, beyond those before the attack. */
  readonly max: number;
  /** Descriptors still open five seconds after the last attack. */
  readonly left: number;
  /** Latency of other clients in each round. */
  readonly without: readonly ProbeLatency[];
  readonly during: readonly ProbeLatency[];
  /** The ratio of the p99 with and without the attack, each the median over the rounds. */
  readonly opening: number;
  readonly held: number;
  readonly failed: Readonly<Record<string, number>>;
}

/**
 * Attacks an instance with slow clients repeatedly, while other clients use another instance
 * through the same proxy at a steady rate.
 */
export async function slowClients(
  attack: Attack,
  { connections, rounds, seconds, through = 'ephemera' }: SlowOptions,
): Promise<SlowResult> {
  const slowhttptest = await installed('slowhttptest');
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-slow-'));
  const [attacked, asked] = [startHere('echo-instance.ts'), startHere('echo-instance.ts')];
  const portOf = async (instance: Child) => Number(await lineOf(instance, /^port (\d+)$/m));
  const ports = { attacked: await portOf(attacked), asked: await portOf(asked) };
  const target = await TARGETS[through](ports);
  try {
    const probeLoad = { port: target.port, path: target.asked, perSecond: 200, seconds };
    const url = `${target.attacked}${attack === 'reading' ? 'big' : ''}`;
    // Longer than needed, so that the end of the attack is not measured.
    const rate = Math.ceil(connections / seconds);
    const common = ['-c', connections, '-r', rate, '-l', 2 * seconds + 10, '-p', 3].map(String);
    const startAttack = () =>
      // With idle priority: the attack gets only unused CPU time, as if it ran on other machines.
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
      // Idle connections are closed after 4 s.
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

/** @param startAttack called after the warm-up of the other clients; the attack ends with them */
async function measure(
  options: ProbeLoadOptions,
  startAttack?: () => Child,
): Promise<ProbeLatency> {
  const probeLoad = startHere('probe-load.ts', JSON.stringify(options));
  await lineOf(probeLoad, /^(begun)$/m);
  const attacker = startAttack?.();
  await probeLoad.exit();
  await attacker?.stop(1_000);
  return JSON.parse(await lineOf(probeLoad, /^(\{.*\})$/m)) as ProbeLatency;
}

function startHere(file: string, ...args: string[]): Child {
  return startChild(process.execPath, [join(import.meta.dirname, file), ...args]);
}

/** Returns the match of an output line. @throws if the process exits without it */
async function lineOf(child: Child, line: RegExp): Promise<string> {
  await waitFor('a line of a process', () => line.test(child.log()) || child.ended() !== undefined);
  const [, word] = line.exec(child.log()) ?? [];
  if (word === undefined) throw new Error(`a process ended:\n${child.log()}`);
  return word;
}

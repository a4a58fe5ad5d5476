import type { Options } from '../options.ts';
import { print, table } from '@ephemera/test-support';
import { isChurnWell, isContainersWell, isFencesWell } from '../verdicts.ts';
import { churn, type ChurnOptions, type ChurnResult } from './churn.ts';
import { containerChurn } from '../containers/container-churn.ts';
import { type Fence, proxyFences } from './fences.ts';

/** The limits of one row of the table. */
const SHORT = { answers: 20_000, atMostMs: 60_000 };

/** Runs the churn with every fence and every disturbance. */
export async function runChurn(options: Options): Promise<boolean> {
  const answers = options.count ?? 1_000_000;
  const seed = options.seed;
  const result = await churn({ answers, atMostMs: timeOf(options), seed, onProgress: print });
  print(JSON.stringify({ ...result, strays: result.strays.slice(0, 5) }, undefined, 2));
  return isChurnWell(result, answers);
}

function timeOf(options: Options): number {
  return options.minutes * 60_000;
}

/** The same with real containers, whose addresses Docker reuses; at the end without the fences. */
export async function runContainers(options: Options): Promise<boolean> {
  const answers = options.count ?? 100_000;
  const seed = options.seed;
  const atMostMs = timeOf(options);
  const full = { answers, atMostMs, seed, onProgress: print };
  const result = await containerChurn(full);
  print(JSON.stringify(result, undefined, 2));
  const control = { ...full, answers: answers / 10, atMostMs: atMostMs / 4, removed: proxyFences };
  const unfenced = await containerChurn(control);
  print(`without the fences: ${JSON.stringify(unfenced, undefined, 2)}`);
  return isContainersWell(result, unfenced, answers);
}

/**
 * Runs short churns without each fence, then without several, to show that the churn detects it.
 */
export async function runFences(options: Options): Promise<boolean> {
  const seed = options.seed;
  const rows: string[][] = [];
  const results = new Map<string, ChurnResult>();
  for (const [name, more] of variants()) {
    const result = await churn({ ...SHORT, seed, ...more });
    results.set(name, result);
    rows.push(row(name, result));
    print(rows.at(-1)?.join('  ') ?? '');
  }
  print(
    table(['removed', 'answers', 'wrong answers', 'strays', 'instances', 'refused, cut'], rows),
  );
  return isFencesWell(results);
}

/** The rows of the table. Addresses are reused at once, unless a row says otherwise. */
function variants(): [string, Partial<ChurnOptions>][] {
  const alone = proxyFences.map((fence): [string, Partial<ChurnOptions>] => [
    fence,
    { removed: [fence] },
  ]);
  const routes: Fence[] = ['lease', 'push', 'flush'];
  return [
    ['nothing', {}],
    ...alone,
    ['order of a kill', { killsFirst: true }],
    ['lease, push and flush', { removed: routes }],
    ['lease, push, flush and recheck', { removed: [...routes, 'recheck'] }],
    ['sockets and recheck', { removed: ['sockets', 'recheck'] }],
    ['all', { removed: proxyFences, killsFirst: true }],
    ['all, with fresh addresses', { removed: proxyFences, freshAddresses: true }],
    ['nothing, one replica without Redis', { partitions: true }],
    [
      'nothing, one replica without Redis, with fresh addresses',
      { partitions: true, freshAddresses: true },
    ],
  ];
}

function row(name: string, result: ChurnResult): string[] {
  const refused = Object.values(result.refused).reduce((sum, count) => sum + count, 0);
  const { answers, wrongAnswers, strays, instances } = result;
  return [name, ...[answers, wrongAnswers, strays.length, instances, refused].map(String)];
}

import type { Bench, Ratio, Row, Spread } from './bench.ts';

/** Figures of one contender in one round, by name. */
export type Figures = Readonly<Record<string, number>>;

export interface Entry {
  readonly name: string;
  readonly measure: () => Promise<Figures>;
}

/** The rounds of each contender. Rounds with the same index ran at about the same time. */
export type Series = ReadonlyMap<string, readonly Figures[]>;

/**
 * Measures all contenders in turn in every round. Each round starts with another contender, so that
 * load of the machine affects all contenders equally. Stops early at the time limit.
 */
export async function interleave(bench: Bench, entries: readonly Entry[]): Promise<Series> {
  const series = new Map<string, Figures[]>(entries.map(({ name }) => [name, []]));
  for (let round = 0; round < bench.rounds && performance.now() < bench.until; round++) {
    const first = round % entries.length;
    for (const { name, measure } of [...entries.slice(first), ...entries.slice(0, first)]) {
      series.get(name)?.push(await measure());
    }
  }
  return series;
}

export function rowsOf(series: Series): Row[] {
  return [...series].map(([name, rounds]) => {
    const names = Object.keys(rounds[0] ?? {});
    return {
      name,
      figures: Object.fromEntries(
        names.map((figure) => [
          figure,
          spreadOf(rounds.map((round) => round[figure] ?? Number.NaN)),
        ]),
      ),
    };
  });
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
    rounds: sorted.length,
  };
}

/** Target of a ratio: a minimum if more is better, a maximum if less is better. */
export type Reach = { readonly atLeast: number } | { readonly atMost: number };

/** Compares a figure of two contenders. */
export function compare(
  series: Series,
  [name, other]: readonly [string, string],
  figure: string,
  reach?: Reach,
): Ratio {
  const values = (contender: string) =>
    (series.get(contender) ?? []).map((f) => f[figure] ?? Number.NaN);
  const [ours, theirs] = [values(name), values(other)];
  const ratio = spreadOf(ours).median / spreadOf(theirs).median;
  const perRound = ours.map((value, round) => value / (theirs[round] ?? Number.NaN));
  return {
    figure,
    against: other,
    ratio,
    lowest: Math.min(...perRound),
    highest: Math.max(...perRound),
    reach: reach && ('atLeast' in reach ? `≥ ${reach.atLeast}` : `≤ ${reach.atMost}`),
    isReached: reach && ('atLeast' in reach ? ratio >= reach.atLeast : ratio <= reach.atMost),
  };
}

import type { Bench, Ratio, Row, Spread } from './bench.ts';

/** What one round of one contender came to, by the names of the figures. */
export type Figures = Readonly<Record<string, number>>;

export interface Entry {
  readonly name: string;
  readonly measure: () => Promise<Figures>;
}

/** What each contender did, a list of rounds; the n-th rounds of all were close in time. */
export type Series = ReadonlyMap<string, readonly Figures[]>;

/**
 * Measures all contenders in turn, round after round, each round beginning with another one: what
 * the machine does meanwhile hits all alike. Ends early where the time is up.
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

/** What is wanted of a ratio: at least so much where more is better, at most where less is. */
export type Reach = { readonly atLeast: number } | { readonly atMost: number };

/** Compares one contender's figure with another's. */
export function compare(
  series: Series,
  [text, other]: readonly [string, string],
  figure: string,
  reach?: Reach,
): Ratio {
  const values = (name: string) => (series.get(name) ?? []).map((f) => f[figure] ?? Number.NaN);
  const [ours, theirs] = [values(text), values(other)];
  const ratio = spreadOf(ours).median / spreadOf(theirs).median;
  const item = ours.map((value, round) => value / (theirs[round] ?? Number.NaN));
  return {
    figure,
    against: other,
    ratio,
    lowest: Math.min(...item),
    highest: Math.max(...item),
    reach: reach && ('atLeast' in reach ? `≥ ${reach.atLeast}` : `≤ ${reach.atMost}`),
    isReached: reach && ('atLeast' in reach ? ratio >= reach.atLeast : ratio <= reach.atMost),
  };
}

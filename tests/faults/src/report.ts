import { median, print, table } from '@ephemera/test-support';
import type { Broken } from './invariants/invariants.ts';

/** How many violations of one recovery are printed. */
const SHOWN = 12;

interface Row {
  runs: number;
  deaths: number;
  broken: number;
  readonly recoveries: number[];
}

/** The results of a scenario, by step. */
export class Report {
  readonly #rows = new Map<string, Row>();
  readonly #found = new Set<string>();

  /** Counts a run of a step. `injected` is false if the process never made the call. */
  run(step: string, injected: boolean): void {
    const row = this.#row(step);
    row.runs++;
    if (injected) row.deaths++;
  }

  /** Counts a recovery after runs of these steps. */
  recovered(steps: readonly string[], took: number, broken: readonly Broken[]): void {
    // A lasting violation is printed and counted only at its first recovery.
    const fresh = broken
      .map(({ invariant, what }) => `${invariant}: ${what}`)
      .filter((found) => !this.#found.has(found));
    for (const step of new Set(steps)) {
      const row = this.#row(step);
      row.recoveries.push(took);
      row.broken += fresh.length;
    }
    for (const found of fresh) this.#found.add(found);
    for (const found of fresh.slice(0, SHOWN)) print(`BROKEN ${found}`);
    if (fresh.length > SHOWN) print(`and ${fresh.length - SHOWN} more`);
    if (fresh.length > 0) print(`found after: ${steps.join(', ')}`);
  }

  /** Whether something ran, every step had a fault, and no invariant was broken. */
  get holds(): boolean {
    const rows = [...this.#rows.values()];
    return rows.length > 0 && this.#found.size === 0 && rows.every(({ deaths }) => deaths > 0);
  }

  print(): void {
    const rows = [...this.#rows].map(([step, row]) => [
      step,
      ...[row.runs, row.deaths, row.broken].map(String),
      `${seconds(median(row.recoveries) || 0)} / ${seconds(Math.max(0, ...row.recoveries))}`,
    ]);
    print(table(['step', 'runs', 'faults', 'broken', 'recovery, median / longest'], rows));
    const without = [...this.#rows].filter(([, { deaths }]) => deaths === 0).map(([step]) => step);
    if (without.length > 0) print(`NOT INJECTED, no process reached it: ${without.join(', ')}`);
  }

  #row(step: string): Row {
    let row = this.#rows.get(step);
    if (!row) {
      row = { runs: 0, deaths: 0, broken: 0, recoveries: [] };
      this.#rows.set(step, row);
    }
    return row;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

import { median, print, table } from '@ephemera/test-support';
import type { Broken } from './invariants/invariants.ts';

/** How much of what one recovery left broken is shown. */
const SHOWN = 12;

interface Row {
  runs: number;
  deaths: number;
  missed: number;
  broken: number;
  readonly recoveries: number[];
}

/** What a scenario counted, by step. */
export class Report {
  readonly #rows = new Map<string, Row>();
  readonly #found = new Set<string>();

  /** Counts a run of a step; `injected` is false where its process never made the call. */
  run(step: string, injected: boolean): void {
    const row = this.#row(step);
    row.runs++;
    if (injected) row.deaths++;
    else row.missed++;
  }

  /** Counts a recovery after runs of these steps. */
  recovered(steps: readonly string[], took: number, broken: readonly Broken[]): void {
    // What stays broken is printed and counted only where it was found first.
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
    if (fresh.length > 0) print(`after ${steps.join(', ')}`);
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
  }

  #row(step: string): Row {
    let row = this.#rows.get(step);
    if (!row) {
      row = { runs: 0, deaths: 0, missed: 0, broken: 0, recoveries: [] };
      this.#rows.set(step, row);
    }
    return row;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

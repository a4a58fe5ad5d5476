/** A violation, and the case that shows it. */
export interface Finding {
  readonly what: string;
  readonly case: number;
  readonly bytes: string;
}

/** Keeps only the first findings, because one bug shows in many cases. */
export class Findings {
  readonly kept: Finding[] = [];
  total = 0;

  add(finding: Finding): void {
    this.total++;
    if (this.kept.length < 20) this.kept.push(finding);
  }
}

/** Counts responses by status, or by the reason for a missing one. */
export function increment(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

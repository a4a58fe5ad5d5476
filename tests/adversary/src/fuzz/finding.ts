/** Something that must not happen, and the case that shows it. */
export interface Finding {
  readonly what: string;
  readonly case: number;
  readonly bytes: string;
}

/** Keeps the first of them: one fault shows in many cases. */
export class Findings {
  readonly kept: Finding[] = [];
  total = 0;

  add(finding: Finding): void {
    this.total++;
    if (this.kept.length < 20) this.kept.push(finding);
  }
}

/** How often each sort of answer came, by its status or by its lack. */
export function increment(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

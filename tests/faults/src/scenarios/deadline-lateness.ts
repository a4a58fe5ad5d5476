/** Summarizes latencies in ms as one line. */
export function figures(what: string, values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN);
  return `${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms, of ${sorted.length}`;
}

/** The given quantile of the values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Responses around one deadline that all ids share. Times are epoch milliseconds. */
export class DeadlineResponses {
  readonly #deadline: number;
  /** Send time of the latest request with a successful response, relative to the deadline. */
  servedUntil = Number.NEGATIVE_INFINITY;
  /** Time of the first refusal relative to the deadline. */
  refusedFrom = Number.POSITIVE_INFINITY;
  answered = 0;
  refused = 0;
  other: Record<string, number> = {};

  constructor(deadline: number) {
    this.#deadline = deadline;
  }

  record(status: number | undefined, sentAt: number, receivedAt: number): void {
    if (status === 200) {
      this.answered++;
      this.servedUntil = Math.max(this.servedUntil, sentAt - this.#deadline);
    } else if (status === 410) {
      this.refused++;
      this.refusedFrom = Math.min(this.refusedFrom, receivedAt - this.#deadline);
    } else {
      const what = String(status ?? 'cut');
      this.other[what] = (this.other[what] ?? 0) + 1;
    }
  }

  print(): string {
    const { answered, refused, servedUntil, refusedFrom } = this;
    return (
      `${answered} requests answered and ${refused} refused around the deadline; the latest ` +
      `answered request was sent ${servedUntil.toFixed(1)} ms after it, the first refusal came ` +
      `${refusedFrom.toFixed(1)} ms after it; others: ${JSON.stringify(this.other)}`
    );
  }

  /**
   * Whether requests were refused within 50 ms after the deadline, and none was refused before it.
   */
  get isOnTime(): boolean {
    return this.servedUntil <= 50 && this.refusedFrom >= -5 && this.refused > 0;
  }
}

/** What the control API acknowledged for one instance. Times are epoch milliseconds. */
export interface Promised {
  readonly id: string;
  /**
   * Idempotency key of the creation, also in the metadata. A repeated creation must not create a
   * second instance.
   */
  readonly key: string;
  readonly template: string;
  /** When the creation was acknowledged. */
  readonly born: number;
  /** The latest deadline in a response since the instance became ready. */
  promisedUntil: number | undefined;
  /** When a client first requested a kill, whether or not a response arrived. */
  killAskedAt: number | undefined;
}

/** A period in which starts may fail with a matching message. Times are epoch milliseconds. */
export interface ExpectedFailure {
  readonly words: RegExp;
  readonly from: number;
  until: number;
}

/** A violation that a recovery cannot repair. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
}

/** Everything that was acknowledged, and the violations found in responses. */
export class Expectations {
  readonly promised = new Map<string, Promised>();
  readonly violations: Violation[] = [];
  /** Ids whose container the test ended itself. These instances may end before their deadline. */
  readonly damaged = new Set<string>();
  /** Periods in which the test made starts fail. */
  readonly expectedFailures: ExpectedFailure[] = [];
  /** Keys of all creations that were sent, answered or not. */
  readonly sentKeys = new Set<string>();
  renewals = 0;
  answers = 0;
  readonly refused: Record<string, number> = {};

  created(promise: Promised): void {
    const { id, key } = promise;
    const twin = [...this.promised.values()].find(
      (promised) => promised.key === key && promised.id !== id,
    );
    if (twin)
      this.recordViolation(
        'one instance per key in the responses',
        `${key} was answered with ${twin.id} and ${id}`,
      );
    const earlier = this.promised.get(id);
    // Two clients with the same instance, for example after the store lost the first creation.
    if (earlier && earlier.key !== key) {
      this.recordViolation(
        'one client per instance',
        `${id} was given to ${earlier.key} and ${key}`,
      );
    }
    if (!earlier) this.promised.set(id, promise);
  }

  renewed(id: string, until: number): void {
    const promise = this.promised.get(id);
    if (!promise) return;
    this.renewals++;
    promise.promisedUntil = Math.max(promise.promisedUntil ?? 0, until);
  }

  killAsked(id: string): void {
    const promise = this.promised.get(id);
    if (promise) promise.killAskedAt ??= Date.now();
  }

  /** Allows starts to fail with a matching message until the returned function is called. */
  expectFailures(words: RegExp): () => void {
    const expectedFailures: ExpectedFailure = { words, from: Date.now(), until: Infinity };
    this.expectedFailures.push(expectedFailures);
    return () => (expectedFailures.until = Date.now());
  }

  refuse(what: string): void {
    this.refused[what] = (this.refused[what] ?? 0) + 1;
  }

  recordViolation(invariant: string, what: string): void {
    this.violations.push({ invariant, what });
  }
}

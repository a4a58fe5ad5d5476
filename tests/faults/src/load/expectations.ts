/** What was promised of one instance, as its creator heard it. Times are epoch milliseconds. */
export interface Promised {
  readonly id: string;
  /** Its creator's key, in its metadata too: a creation that is sent again makes no second one. */
  readonly key: string;
  readonly template: string;
  /** When its creation was acknowledged. */
  readonly born: number;
  /** The latest deadline that an answer has told, from the moment that it was ready. */
  toldUntil: number | undefined;
  /** When its end was asked for first, whether or not the answer arrived. */
  killAskedAt: number | undefined;
}

/** A time in which starts fail, and the words that they fail with. Times are epoch milliseconds. */
export interface ExpectedFailure {
  readonly words: RegExp;
  readonly from: number;
  until: number;
}

/** Something that no recovery makes good. */
export interface Wrong {
  readonly invariant: string;
  readonly what: string;
}

/** Everything that was acknowledged, and what was seen that must never be. */
export class Expectations {
  readonly promised = new Map<string, Promised>();
  readonly wrong: Wrong[] = [];
  /** Ids whose container somebody else ended: an end before the deadline is then no fault. */
  readonly damaged = new Set<string>();
  /** When somebody had starts fail. */
  readonly expectedFailures: ExpectedFailure[] = [];
  /** Keys whose creation was sent, answered or not. */
  readonly sentKeys = new Set<string>();
  renewals = 0;
  answers = 0;
  readonly refused: Record<string, number> = {};

  created(promise: Promised): void {
    const { id, key } = promise;
    const twin = [...this.promised.values()].find(
      (promised) => promised.key === key && promised.id !== id,
    );
    if (twin) this.tell('one answer a creation', `${key} was answered with ${twin.id} and ${id}`);
    const earlier = this.promised.get(id);
    // Two visitors in one instance, as a store would have it that forgot the first.
    if (earlier && earlier.key !== key) {
      this.tell('one visitor an instance', `${id} was given to ${earlier.key} and ${key}`);
    }
    if (!earlier) this.promised.set(id, promise);
  }

  renewed(id: string, until: number): void {
    const promise = this.promised.get(id);
    if (!promise) return;
    this.renewals++;
    promise.toldUntil = Math.max(promise.toldUntil ?? 0, until);
  }

  killAsked(id: string): void {
    const promise = this.promised.get(id);
    if (promise) promise.killAskedAt ??= Date.now();
  }

  /** From now on starts may fail with these words; until what it gives is called. */
  expectFailures(words: RegExp): () => void {
    const expectedFailures: ExpectedFailure = { words, from: Date.now(), until: Infinity };
    this.expectedFailures.push(expectedFailures);
    return () => (expectedFailures.until = Date.now());
  }

  refuse(what: string): void {
    this.refused[what] = (this.refused[what] ?? 0) + 1;
  }

  tell(invariant: string, what: string): void {
    this.wrong.push({ invariant, what });
  }
}

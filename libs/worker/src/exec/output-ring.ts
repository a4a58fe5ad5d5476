const FIRST_CAPACITY = 1_024;

/**
 * The last bytes of a stream, in a circular buffer that grows up to its limit. The position of every
 * byte is counted from the start of the stream, so that a reader can continue where it stopped, and
 * notices a gap.
 */
export class OutputRing {
  readonly #limit: number;
  #buffer: Buffer;
  /** Number of stored bytes; they end at `#total`. */
  #size = 0;
  #total = 0;

  /** @param limit maximum of stored bytes */
  constructor(limit: number) {
    this.#limit = limit;
    this.#buffer = Buffer.alloc(Math.min(limit, FIRST_CAPACITY));
  }

  /** Number of bytes that were appended so far. */
  get total(): number {
    return this.#total;
  }

  /** Bytes of memory that it occupies. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /** Stores bytes, and drops the oldest ones beyond the limit. */
  append(chunk: Buffer): void {
    const kept = chunk.subarray(Math.max(0, chunk.length - this.#limit));
    this.#total += chunk.length - kept.length;
    if (kept.length < chunk.length) this.#size = 0;
    this.#reserve(Math.min(this.#limit, this.#size + kept.length));
    const capacity = this.#buffer.length;
    const at = this.#total % capacity;
    const copied = kept.copy(this.#buffer, at);
    kept.copy(this.#buffer, 0, copied);
    this.#total += kept.length;
    this.#size = Math.min(capacity, this.#size + kept.length);
  }

  /** The stored bytes from a position on. `offset` is later than `from` if earlier bytes are gone. */
  read(from: number, max = Infinity): { readonly offset: number; readonly data: Buffer } {
    const offset = Math.min(Math.max(from, this.#total - this.#size), this.#total);
    const length = Math.min(this.#total - offset, max);
    return { offset, data: this.#copy(offset, length) };
  }

  #copy(offset: number, length: number): Buffer {
    const at = offset % this.#buffer.length;
    const end = this.#buffer.subarray(at, at + length);
    const start = this.#buffer.subarray(0, length - end.length);
    return Buffer.concat([end, start]);
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const offset = this.#total - this.#size;
    const stored = this.#copy(offset, this.#size);
    this.#buffer = Buffer.alloc(Math.min(this.#limit, Math.max(size, this.#buffer.length * 2)));
    const copied = stored.copy(this.#buffer, offset % this.#buffer.length);
    stored.copy(this.#buffer, 0, copied);
  }
}

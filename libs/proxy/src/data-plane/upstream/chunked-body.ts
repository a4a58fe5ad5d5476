import { ProtocolError } from './response-fields.ts';

const CR = 0x0d;
const LF = 0x0a;
/** 13 hex digits are 52 bits: what a number counts exactly. */
const MAX_DIGITS = 13;
const MAX_EXTENSION = 1_024;
/** Extensions (RFC 9112 7.1.1), without the whitespace that it lets a recipient tolerate. */
const EXTENSION =
  /^(?:;[!#$%&'*+\-.^_`|~\dA-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~\dA-Za-z]+|"(?:[^"\\]|\\[^])*"))?)*$/;

type Step = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'done';

/**
 * Takes the chunks off a body (RFC 9112 7.1), up to and with the line of the last chunk; the
 * trailer section behind it is the caller's. Strict: hex digits and nothing else before a `;` or
 * CRLF, no bare LF.
 */
export class ChunkedBody {
  #step: Step = 'size';
  #size = 0;
  #digits = 0;
  #extension = '';

  get done(): boolean {
    return this.#step === 'done';
  }

  /**
   * Reads `input` from `at`, hands each piece of data on, and gives the place where it stopped:
   * behind the last chunk's line, or the end of the input. @throws ProtocolError
   */
  read(input: Buffer, at: number, onData: (data: Buffer) => void): number {
    while (at < input.length && this.#step !== 'done') {
      if (this.#step === 'data') {
        const end = Math.min(input.length, at + this.#size);
        this.#size -= end - at;
        if (this.#size === 0) this.#step = 'data-cr';
        onData(input.subarray(at, end));
        at = end;
      } else {
        this.#take(input[at++] ?? 0);
      }
    }
    return at;
  }

  #take(byte: number): void {
    switch (this.#step) {
      case 'size':
        if (byte === CR && this.#digits > 0) this.#step = 'size-lf';
        else if (byte === 0x3b && this.#digits > 0) this.#extend(byte);
        else this.#digit(byte);
        break;
      case 'extension':
        if (byte === CR) this.#endExtension();
        else this.#extend(byte);
        break;
      case 'size-lf':
        expect(byte, LF);
        this.#step = this.#size === 0 ? 'done' : 'data';
        this.#digits = 0;
        break;
      case 'data-cr':
        expect(byte, CR);
        this.#step = 'data-lf';
        break;
      case 'data-lf':
        expect(byte, LF);
        this.#step = 'size';
        break;
      case 'data':
      case 'done':
        break;
    }
  }

  #extend(byte: number): void {
    this.#step = 'extension';
    this.#extension += String.fromCharCode(byte);
    if (!isText(byte) || this.#extension.length > MAX_EXTENSION) {
      throw new ProtocolError('bad chunk extension');
    }
  }

  #endExtension(): void {
    if (!EXTENSION.test(this.#extension)) throw new ProtocolError('bad chunk extension');
    this.#extension = '';
    this.#step = 'size-lf';
  }

  #digit(byte: number): void {
    const value = hexValue(byte);
    if (value === -1 || ++this.#digits > MAX_DIGITS) throw new ProtocolError('bad chunk size');
    this.#size = this.#size * 16 + value;
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw new ProtocolError('bad chunk');
}

function isText(byte: number): boolean {
  return byte === 0x09 || (byte >= 0x20 && byte !== 0x7f);
}

function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

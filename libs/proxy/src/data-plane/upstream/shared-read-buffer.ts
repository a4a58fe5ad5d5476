import type { OnReadOpts } from 'node:net';

/** As much as libuv reads at once. */
const SIZE = 64 * 1024;

/**
 * Where the bytes of every upstream socket arrive, one read at a time. It belongs to nobody: what
 * lies here is another instance's after the next read.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(SIZE);

/**
 * Takes what arrives on one socket right where it was read: no memory is allocated for a read, and
 * nothing passes through the buffers and events of node:stream. `end`, `error` and `close` come
 * from the socket as ever, and `resume` and `pause` do what they always do.
 */
export class SharedReadBuffer {
  /** Something came while nobody was there to take it. */
  receivedBeforeRequest = false;
  /**
   * Gets what has arrived. The bytes are good until it returns: what is to be kept is copied.
   * False stops the reading until the socket is resumed.
   */
  onChunk: ((data: Buffer) => boolean) | undefined;
  /** What `net.connect` is to be given. */
  readonly onread: OnReadOpts = {
    buffer: READ_BUFFER,
    callback: (length) => {
      if (this.onChunk) return this.onChunk(READ_BUFFER.subarray(0, length));
      this.receivedBeforeRequest = true;
      return true;
    },
  };
}

import { StreamCutError } from './errors.ts';

/**
 * The text of a body as it arrives, in UTF-8. Cancels the body when the iteration ends early.
 * @throws StreamCutError if it breaks off, also because the signal of its request aborts
 */
export async function* textOf(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<string, void> {
  if (body === null) return;
  // Not `for await` over the stream: some browsers lack it.
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(throwCut);
      if (done) break;
      const text = decoder.decode(value, { stream: true });
      if (text !== '') yield text;
    }
    const rest = decoder.decode();
    if (rest !== '') yield rest;
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** In Node, the message of a broken body is only "terminated"; the reason is in its cause. */
function throwCut(error: unknown): never {
  const { message, cause } = error as Partial<Error>;
  const reason = cause instanceof Error ? cause.message : message;
  throw new StreamCutError(`The response broke off before its end (${reason})`, { cause: error });
}

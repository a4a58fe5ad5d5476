/** The text of a body as it arrives, in UTF-8. Cancels the body when the iteration ends early. */
export async function* textOf(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<string, void> {
  if (body === null) return;
  // Not `for await` over the stream: some browsers lack it.
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
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

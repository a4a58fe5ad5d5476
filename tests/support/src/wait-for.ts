/**
 * Waits until `probe` gives something other than undefined, false or a rejection.
 * The bound is a safety net for a test that would hang, not something to be measured.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 120_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last: unknown;
  do {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  } while (Date.now() < end);
  throw new Error(`waited ${timeoutMs} ms in vain for ${what}`, { cause: last });
}

/** A port whose every answer is there at once. */
export type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never;
};

/** Answers in a later turn, as a store across a socket does: whatever may interleave, does. */
export function asyncPort<T extends object>(port: Synchronous<T>): T {
  const later = Object.entries(port).map(([name, action]) => [
    name,
    async (...args: unknown[]): Promise<unknown> => {
      await Promise.resolve();
      return (action as (...args: unknown[]) => unknown)(...args);
    },
  ]);
  return Object.fromEntries(later) as T;
}

/** The synchronous form of a port. */
export type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never;
};

/**
 * Returns each result in a later microtask, like a store behind a socket, so that calls can
 * interleave.
 */
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

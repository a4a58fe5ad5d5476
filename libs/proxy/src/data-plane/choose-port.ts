import type { ReadyRoute } from '@ephemera/domain';

/**
 * The container port that an address names, by name or number; only what the route lists can be
 * reached. @param wanted undefined: the main port
 */
export function choosePort(route: ReadyRoute, wanted: string | undefined): number | undefined {
  if (wanted === undefined) return route.port;
  if (Object.hasOwn(route.ports, wanted)) return route.ports[wanted];
  return Object.values(route.ports).find((port) => String(port) === wanted);
}

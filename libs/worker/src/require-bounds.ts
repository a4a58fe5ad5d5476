import { BOUNDS } from '@ephemera/domain';
import type { Objections } from './guard-starts.ts';

/**
 * Speaks against a template whose bounds no configuration has: Docker takes 0 for none, and one
 * that is wider than the host bounds nothing.
 *
 * @param memory what instances may have of this host, bytes; unknown where absent
 */
export function requireBounds(memory = Number.MAX_SAFE_INTEGER): Objections {
  const bounds = Object.entries({ memory: [1, memory], ...BOUNDS } as const);
  return ({ limits }) =>
    Promise.resolve(
      bounds
        .filter(([name, [least, most]]) => {
          const given = limits[name as keyof typeof limits];
          return !(Number.isFinite(given) && given >= least && given <= most);
        })
        .map(([name, [least, most]]) => `limits.${name}: must be from ${least} to ${most}`),
    );
}

import { LIMIT_RANGES } from '@ephemera/domain';
import type { StartCheck } from './start-checks.ts';

/**
 * Speaks against a template whose bounds no configuration has: Docker takes 0 for none, and one
 * that is wider than the host bounds nothing.
 *
 * @param memory what instances may have of this host, bytes; unknown where absent
 */
export function limitsCheck(memory = Number.MAX_SAFE_INTEGER): StartCheck {
  const bounds = Object.entries({ memory: [1, memory], ...LIMIT_RANGES } as const);
  return ({ limits }) =>
    Promise.resolve(
      bounds
        .filter(([name, [least, max]]) => {
          const input = limits[name as keyof typeof limits];
          return !(Number.isFinite(input) && input >= least && input <= max);
        })
        .map(([name, [least, max]]) => `limits.${name}: must be from ${least} to ${max}`),
    );
}

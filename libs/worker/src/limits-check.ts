import { LIMIT_RANGES } from '@ephemera/domain';
import type { StartCheck } from './start-checks.ts';

/**
 * Refuses limits that no valid configuration contains: Docker treats 0 as unlimited, and a limit
 * above the host's capacity has no effect.
 *
 * @param memory memory of this host for instances, bytes; absent if unknown
 */
export function limitsCheck(memory = Number.MAX_SAFE_INTEGER): StartCheck {
  const bounds = Object.entries({ memory: [1, memory], ...LIMIT_RANGES } as const);
  return ({ limits }) =>
    Promise.resolve(
      bounds
        .filter(([name, [min, max]]) => {
          const input = limits[name as keyof typeof limits];
          return !(Number.isFinite(input) && input >= min && input <= max);
        })
        .map(([name, [min, max]]) => `limits.${name}: must be from ${min} to ${max}`),
    );
}

import { policyViolations, LIMIT_RANGES } from '@ephemera/domain';
import type { Template, Policy } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Containers } from '@ephemera/lifecycle';

/**
 * Returns the reasons, as sentences, why a template must not start on this host. Empty if it may.
 */
export type StartCheck = (template: Template) => Promise<readonly string[]>;

/**
 * Checks the template before a container is created. The worker repeats the checks of the proxy: an
 * attacker who controls a proxy, or writes an instance into Redis, still cannot start a container
 * without limits or against `allow` and `images` of this host. The field `trusted` is not verified.
 */
export function withStartChecks(containers: Containers, checks: readonly StartCheck[]): Containers {
  return {
    ...containers,
    async start(instance, nextAddress, reportProgress) {
      const results = await Promise.all(checks.map((check) => check(instance.template)));
      const reasons = results.flat();
      if (reasons.length > 0) {
        throw new ContainerStartError(`This host refuses the template: ${reasons.join('; ')}.`);
      }
      return containers.start(instance, nextAddress, reportProgress);
    },
  };
}

/** Checks a template against the current policy. */
export function policyCheck(policy: () => Policy): StartCheck {
  return (template) => {
    const faults = policyViolations(policy(), template);
    return Promise.resolve(faults.map(({ path, detail }) => `${path}: ${detail}`));
  };
}

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

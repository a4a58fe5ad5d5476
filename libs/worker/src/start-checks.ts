import type { Template } from '@ephemera/domain';
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

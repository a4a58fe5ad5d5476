import type { Template } from '@ephemera/domain';
import { ContainerStartError } from '@ephemera/lifecycle';
import type { Containers } from '@ephemera/lifecycle';

/** Says what speaks against a template on this host, as sentences; nothing where it may start. */
export type StartCheck = (template: Template) => Promise<readonly string[]>;

/**
 * Containers that are not so much as created where something speaks against their template. What
 * a proxy has let through is looked at again here, beside the daemon: whoever gets hold of a
 * proxy, or writes an instance into Redis, still starts nothing without bounds, and nothing that
 * `allow` and `images` of this host refuse. Whether a template is trusted is believed.
 */
export function withStartChecks(containers: Containers, checks: readonly StartCheck[]): Containers {
  return {
    ...containers,
    async start(instance, nextAddress, reportProgress) {
      const asked = await Promise.all(checks.map((objection) => objection(instance.template)));
      const found = asked.flat();
      if (found.length > 0) {
        throw new ContainerStartError(`This host does not start it: ${found.join('; ')}.`);
      }
      return containers.start(instance, nextAddress, reportProgress);
    },
  };
}

import type { Template } from '@ephemera/domain';
import { StartFault } from '@ephemera/lifecycle';
import type { Containers } from '@ephemera/lifecycle';

/** Says what speaks against a template on this host, as sentences; nothing where it may start. */
export type Objections = (template: Template) => Promise<readonly string[]>;

/**
 * Containers that are not so much as created where something speaks against their template. What
 * a proxy has let through is looked at again here, beside the daemon: whoever gets hold of a
 * proxy, or writes an instance into Redis, still starts nothing without bounds, and nothing that
 * `allow` and `images` of this host refuse. Whether a template is trusted is believed.
 */
export function guardStarts(containers: Containers, objections: readonly Objections[]): Containers {
  return {
    ...containers,
    async start(instance, nextAddress, tell) {
      const asked = await Promise.all(objections.map((each) => each(instance.template)));
      const found = asked.flat();
      if (found.length > 0) {
        throw new StartFault(`This host does not start it: ${found.join('; ')}.`);
      }
      return containers.start(instance, nextAddress, tell);
    },
  };
}

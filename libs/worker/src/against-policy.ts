import { policyFaults } from '@ephemera/domain';
import type { Policy } from '@ephemera/domain';
import type { Objections } from './guard-starts.ts';

/** What of a template is against the policy that holds now. */
export function againstPolicy(policy: () => Policy): Objections {
  return (template) => {
    const faults = policyFaults(policy(), template);
    return Promise.resolve(faults.map(({ path, detail }) => `${path}: ${detail}`));
  };
}

import { policyViolations } from '@ephemera/domain';
import type { Policy } from '@ephemera/domain';
import type { StartCheck } from './start-checks.ts';

/** What of a template is against the policy that holds now. */
export function policyCheck(policy: () => Policy): StartCheck {
  return (template) => {
    const faults = policyViolations(policy(), template);
    return Promise.resolve(faults.map(({ path, detail }) => `${path}: ${detail}`));
  };
}

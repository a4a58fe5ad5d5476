import { policyViolations } from '@ephemera/domain';
import type { Policy } from '@ephemera/domain';
import type { StartCheck } from './start-checks.ts';

/** Checks a template against the current policy. */
export function policyCheck(policy: () => Policy): StartCheck {
  return (template) => {
    const faults = policyViolations(policy(), template);
    return Promise.resolve(faults.map(({ path, detail }) => `${path}: ${detail}`));
  };
}

import type { Issue } from './failure.ts';
import { matchesImage, hasDigest } from './image.ts';
import type { Template } from './template.ts';

/** What of a template could weaken the host it runs on, or bring something unknown there. */
export type SecurityFields = Pick<
  Template,
  'image' | 'capAdd' | 'runtime' | 'seccomp' | 'apparmor' | 'userns'
>;

/** What the operator lets templates ask for; nothing that weakens a host unless it is named. */
export interface Policy {
  readonly capabilities: readonly string[];
  readonly runtimes: readonly string[];
  readonly seccomp: readonly string[];
  readonly apparmor: readonly string[];
  readonly userns: readonly string[];
  /** Patterns, one of which every image fits; undefined: any image. */
  readonly images: readonly string[] | undefined;
  /** Whether every image must be named by its digest. */
  readonly requireDigest: boolean;
}

export const STRICT_POLICY: Policy = {
  capabilities: [],
  runtimes: [],
  seccomp: [],
  apparmor: [],
  userns: [],
  images: undefined,
  requireDigest: false,
};

/** Everything that a template asks for against the policy; paths are those of its fields. */
export function policyViolations(policy: Policy, template: SecurityFields): Issue[] {
  const named = (path: string, list: keyof Policy, wanted: string | undefined): Issue[] => {
    const allowed = policy[list] as readonly string[];
    if (wanted === undefined || allowed.includes(wanted)) return [];
    return [{ path, detail: `"${wanted}" is not in allow.${list}` }];
  };
  // A remapped user only ever has fewer rights.
  const userns = template.userns === 'host' ? 'host' : undefined;
  return [
    ...imageViolations(policy, template.image),
    ...template.capAdd.flatMap((text, i) => named(`capAdd.${i}`, 'capabilities', text)),
    ...named('runtime', 'runtimes', template.runtime),
    ...named('seccomp', 'seccomp', template.seccomp),
    ...named('apparmor', 'apparmor', template.apparmor),
    ...named('userns', 'userns', userns),
  ];
}

function imageViolations({ images, requireDigest }: Policy, image: string): Issue[] {
  const faults: Issue[] = [];
  if (images && !images.some((pattern) => matchesImage(image, pattern))) {
    faults.push({ path: 'image', detail: `"${image}" fits none of images.allow` });
  }
  if (requireDigest && !hasDigest(image)) {
    faults.push({ path: 'image', detail: `"${image}" does not name a digest` });
  }
  return faults;
}

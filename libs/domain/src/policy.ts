import type { Issue } from './failure.ts';
import { matchesImage, hasDigest, isImageId } from './image.ts';
import { PROFILE_CAPABILITIES } from './template.ts';
import type { Template } from './template.ts';

/** The fields of a template that could weaken its host, or run unknown software on it. */
export type SecurityFields = Pick<
  Template,
  'image' | 'profile' | 'capAdd' | 'runtime' | 'seccomp' | 'apparmor' | 'userns'
>;

/** What the operator allows templates to use. Anything that weakens a host must be listed. */
export interface Policy {
  /** Profiles beside `strict`. */
  readonly profiles: readonly string[];
  readonly capabilities: readonly string[];
  readonly runtimes: readonly string[];
  readonly seccomp: readonly string[];
  readonly apparmor: readonly string[];
  readonly userns: readonly string[];
  /** Image patterns, of which at least one must match. Undefined allows every image. */
  readonly images: readonly string[] | undefined;
  /** Whether every image name must contain a digest. */
  readonly requireDigest: boolean;
}

export const STRICT_POLICY: Policy = {
  profiles: [],
  capabilities: [],
  runtimes: [],
  seccomp: [],
  apparmor: [],
  userns: [],
  images: undefined,
  requireDigest: false,
};

/** Every violation of the policy by a template. Paths are those of the template's fields. */
export function policyViolations(policy: Policy, template: SecurityFields): Issue[] {
  const named = (path: string, list: keyof Policy, value: string | undefined): Issue[] => {
    const allowed = policy[list] as readonly string[];
    if (value === undefined || allowed.includes(value)) return [];
    return [{ path, detail: `"${value}" is not in allow.${list}` }];
  };
  // `remapped` only removes rights, so it needs no permission.
  const userns = template.userns === 'host' ? 'host' : undefined;
  const { profile = 'strict' } = template;
  const isCovered = (capability: string) => PROFILE_CAPABILITIES[profile].includes(capability);
  return [
    ...imageViolations(policy, template.image),
    ...named('profile', 'profiles', profile === 'strict' ? undefined : profile),
    ...template.capAdd.flatMap((text, i) =>
      isCovered(text) ? [] : named(`capAdd.${i}`, 'capabilities', text),
    ),
    ...named('runtime', 'runtimes', template.runtime),
    ...named('seccomp', 'seccomp', template.seccomp),
    ...named('apparmor', 'apparmor', template.apparmor),
    ...named('userns', 'userns', userns),
  ];
}

/** Every violation of the policy by the name of an image. */
export function imageViolations({ images, requireDigest }: Policy, image: string): Issue[] {
  const faults: Issue[] = [];
  if (images && !images.some((pattern) => matchesImage(image, pattern))) {
    const hint = isImageId(image)
      ? `. Docker may take it for the id of any image; write a name with its tag, such as "app:latest"`
      : '';
    faults.push({ path: 'image', detail: `"${image}" matches no pattern of images.allow${hint}` });
  }
  if (requireDigest && !hasDigest(image)) {
    faults.push({ path: 'image', detail: `"${image}" has no digest` });
  }
  return faults;
}

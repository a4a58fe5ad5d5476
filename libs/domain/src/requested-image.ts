import type { Issue } from './failure.ts';
import { isImageId, matchesImage } from './image.ts';
import { imageViolations } from './policy.ts';
import type { Policy } from './policy.ts';
import type { Template } from './template.ts';

/** Longest name of an image in a request, characters. */
export const MAX_IMAGE_LENGTH = 512;

const DOMAIN_LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const REGISTRY = String.raw`(?:${DOMAIN_LABEL}(?:\.${DOMAIN_LABEL})*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?`;
const PATH_PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const TAG = String.raw`[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`;
const DIGEST = 'sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}';
const REFERENCE = new RegExp(
  `^(?:${REGISTRY}/)?${PATH_PART}(?:/${PATH_PART})*(?::${TAG})?(?:@(?:${DIGEST}))?$`,
);

/**
 * Whether a text is the name of an image in the grammar of Docker: `[REGISTRY/]PATH[:TAG][@DIGEST]`. The
 * id of an image is none, because it could be that of any image of a host.
 */
export function isImageReference(text: string): boolean {
  return text.length <= MAX_IMAGE_LENGTH && REFERENCE.test(text) && !isImageId(text);
}

/**
 * The image of a creation that names one. That of the template is always allowed. Any other one must
 * match `imageAllow` of the template and the policy of the deployment.
 *
 * @returns the image, or why it is refused, with the patterns that are allowed
 */
export function requestedImage(
  image: string,
  template: Pick<Template, 'name' | 'image' | 'imageAllow'>,
  policy: Policy,
): { readonly image: string } | { readonly faults: readonly Issue[] } {
  if (image === template.image) return { image };
  const refuse = (detail: string) => ({ faults: [{ path: 'image', detail }] });
  const { name, imageAllow = [] } = template;
  if (!isImageReference(image)) {
    return refuse('is not the name of an image, such as ghcr.io/acme/app:1.2; an id is none');
  }
  if (imageAllow.length === 0) {
    return refuse(
      `the template ${name} allows no other image; omit image, or let the operator set imageAllow in the template`,
    );
  }
  if (!imageAllow.some((pattern) => matchesImage(image, pattern))) {
    return refuse(
      `"${image}" matches no pattern of imageAllow of the template ${name}: ${imageAllow.join(', ')}`,
    );
  }
  const faults = imageViolations(policy, image).map(({ path, detail }) => ({
    path,
    detail: detail.endsWith('images.allow') ? `${detail}: ${policy.images?.join(', ')}` : detail,
  }));
  return faults.length > 0 ? { faults } : { image };
}

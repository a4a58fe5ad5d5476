import { expect, test } from 'vitest';
import { STRICT_POLICY } from './policy.ts';
import { MAX_IMAGE_LENGTH, isImageReference, requestedImage } from './requested-image.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

const request = (image: string, imageAllow?: readonly string[], policy = STRICT_POLICY) => {
  const template = { name: 'preview', image: 'ghcr.io/acme/app:main', imageAllow };
  const result = requestedImage(image, template, policy);
  return 'image' in result ? result.image : result.faults.map(({ detail }) => detail).join('; ');
};

test.each([
  ...['redis', 'redis:7-alpine', 'acme/app', 'ghcr.io/acme/app:pr-42', 'a.b_c__d---e/f'],
  ...['localhost:5000/app', '[::1]:5000/app:1', 'Registry.Example/app', `app@${DIGEST}`],
  `ghcr.io/acme/app:1.2@${DIGEST}`,
])('%s is the name of an image', (image) => {
  expect(isImageReference(image)).toBe(true);
});

test.each([
  ...['', ' ', 'app:', 'app@', ':tag', 'app tag', 'app\n', 'acme/APP', 'acme//app', '/app', 'app/'],
  ...['../app', 'app/..', 'ghcr.io/acme/app:1/../x', 'app:1?fromSrc=x', 'app#x', 'app:1:2', '-app'],
  ...['app@sha256:12', `app@${DIGEST}0`, 'http://ghcr.io/app', '*', 'ghcr.io/acme/*', 'app%2fx'],
  // Docker may take these for the id of any image.
  ...[DIGEST, 'sha256:ab', 'cafe', '0123456789ab'],
  `a/${'b'.repeat(MAX_IMAGE_LENGTH)}`,
])('%j is none', (image) => {
  expect(isImageReference(image)).toBe(false);
  expect(request(image, ['**'])).toContain('is not the name of an image');
});

test('a template allows only its own image by default', () => {
  expect(request('ghcr.io/acme/app:main')).toBe('ghcr.io/acme/app:main');
  expect(request('ghcr.io/acme/app:other')).toContain('the template preview allows no other image');
  expect(request('ghcr.io/acme/app:other', [])).toContain('set imageAllow');
});

test('an image must match a pattern, and the refusal lists the patterns', () => {
  const allowed = ['ghcr.io/acme/app:*', 'docker.io/library/redis:7'];
  for (const image of ['ghcr.io/acme/app:pr-1', 'GHCR.IO/acme/app', `ghcr.io/acme/app@${DIGEST}`]) {
    expect(request(image, allowed), image).toBe(image);
  }
  // Names are compared as Docker normalises them.
  expect(request('redis:7', allowed)).toBe('redis:7');
  for (const image of ['ghcr.io/acme/app2:1', 'ghcr.io/acme/app/x:1', 'redis:8', 'redis']) {
    expect(request(image, allowed), image).toBe(
      `"${image}" matches no pattern of imageAllow of the template preview: ${allowed.join(', ')}`,
    );
  }
});

test('the policy of the deployment holds too', () => {
  const policy = { ...STRICT_POLICY, images: ['ghcr.io/acme/*'], requireDigest: true };
  expect(request('ghcr.io/other/app', ['**'], policy)).toBe(
    '"ghcr.io/other/app" matches no pattern of images.allow: ghcr.io/acme/*; "ghcr.io/other/app" has no digest',
  );
  expect(request(`ghcr.io/acme/app@${DIGEST}`, ['**'], policy)).toBe(`ghcr.io/acme/app@${DIGEST}`);
});

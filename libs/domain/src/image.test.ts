import { expect, test } from 'vitest';
import { matchesImage, hasDigest } from './image.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

test.each([
  ['ephemera/demo', 'ephemera/*'],
  ['ephemera/demo:2', 'ephemera/*'],
  ['docker.io/ephemera/demo', 'ephemera/demo'],
  ['ephemera/demo', 'docker.io/ephemera/*'],
  ['redis', 'docker.io/library/*'],
  ['index.docker.io/library/redis', 'redis'],
  ['ghcr.io/acme/app/web:1', 'ghcr.io/acme/**'],
  ['ghcr.io:5000/acme/app', 'ghcr.io:5000/acme/*'],
  ['localhost/app', 'localhost/*'],
  ['anything.example/at/all:1', '**'],
  [`ghcr.io/acme/app@${DIGEST}`, 'ghcr.io/acme/app'],
  [`ghcr.io/acme/app:1@${DIGEST}`, 'ghcr.io/acme/app:*'],
  ['ghcr.io/acme/app:1', 'ghcr.io/acme/app:1'],
  [DIGEST, 'sha256:*'],
])('%s fits %s', (image, pattern) => {
  expect(matchesImage(image, pattern)).toBe(true);
});

// Each of these is an image from another source whose name resembles an allowed one.
test.each([
  ['evil.example/ephemera/demo', 'ephemera/*'],
  ['ephemera/demo/../../x', 'ephemera/*'],
  ['ephemera.evil.example/demo', 'ephemera/*'],
  ['ghcrXio/acme/app', 'ghcr.io/acme/app'],
  ['ghcr.io/acme/app/web', 'ghcr.io/acme/*'],
  ['ghcr.io/acme-evil/app', 'ghcr.io/acme/**'],
  ['ghcr.io:5000/acme/app', 'ghcr.io/acme/app'],
  ['evil.example/ghcr.io/acme/app', 'ghcr.io/acme/*'],
  ['ghcr.io/acme/app:2', 'ghcr.io/acme/app:1'],
  ['ghcr.io/acme/app', 'ghcr.io/acme/app:1'],
  ['acme/app', '*'],
  [DIGEST, 'ephemera/*'],
])('%s does not fit %s', (image, pattern) => {
  expect(matchesImage(image, pattern)).toBe(false);
});

test.each([
  [`app@${DIGEST}`, true],
  [`ghcr.io/acme/app:1@${DIGEST}`, true],
  [DIGEST, true],
  ['app:1', false],
  ['app@sha256:0123', false],
  // Docker also accepts an ID prefix, but another image may later match it.
  ['0123456789ab', false],
])('whether %s says its content: %s', (image, expected) => {
  expect(hasDigest(image)).toBe(expected);
});

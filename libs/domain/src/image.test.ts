import { expect, test } from 'vitest';
import { matchesImage, hasDigest, registryOf } from './image.ts';

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
  [DIGEST, '**'],
  ['0123456789ab', '**'],
  ['docker.io/redis', 'redis'],
  ['docker.io/redis', 'docker.io/library/redis:latest'],
  ['index.docker.io/redis', 'docker.io/library/*'],
  ['docker.io/redis', 'docker.io/**'],
  ['GHCR.io/acme/app', 'ghcr.io/acme/*'],
  ['ghcr.io/acme/app', 'GHCR.IO/acme/*'],
  ['Registry.Example:5000/app', 'registry.example:5000/app'],
  ['ghcr.io/acme/app', 'ghcr.io/acme/app:latest'],
  ['ghcr.io/acme/app:latest', 'ghcr.io/acme/app:latest'],
  [`ghcr.io/acme/app:2@${DIGEST}`, `ghcr.io/acme/app@${DIGEST}`],
  [`ghcr.io/acme/app@${DIGEST}`, `ghcr.io/acme/app:1@${DIGEST}`],
  ['ghcr.io/acme/app:1', '**/app:1'],
  ['cafe:latest', 'cafe:*'],
  ['cafe:latest', 'cafe'],
  ['library/cafe', 'docker.io/library/*'],
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
  // Docker takes the rest for a path on Docker Hub.
  ['index.docker.io/ghcr.io/acme/app', 'ghcr.io/acme/*'],
  ['docker.io/ghcr.io/acme/app', 'ghcr.io/acme/*'],
  // With a capital, the first segment is a registry.
  ['Ephemera/demo', 'ephemera/*'],
  ['LOCALHOST/app', 'docker.io/**'],
  // Docker ignores the tag beside a digest.
  [`ghcr.io/acme/app:1@${DIGEST}`, 'ghcr.io/acme/app:1'],
  [`ghcr.io/acme/app:1@${DIGEST}`, 'ghcr.io/acme/app:1*'],
  [`ghcr.io/acme/app:1@${DIGEST}`, 'ghcr.io/acme/app:latest'],
  ['ghcr.io/acme/app', `ghcr.io/acme/app@${DIGEST}`],
  ['GHCR.io/ACME/app', 'ghcr.io/acme/*'],
])('%s does not fit %s', (image, pattern) => {
  expect(matchesImage(image, pattern)).toBe(false);
});

// Docker tries these as ids of any image on the host.
test.each(['0123456789ab', 'c', 'cafe', 'CAFE', '0'.repeat(64), 'sha256:01', 'sha256:', DIGEST])(
  'the id %s fits no pattern of names',
  (id) => {
    for (const pattern of [
      '*',
      'c*',
      'docker.io/library/*',
      'docker.io/**',
      '**/*',
      'cafe',
      'c',
      'sha*',
      '*:*',
    ])
      expect(matchesImage(id, pattern), pattern).toBe(false);
  },
);

test.each([
  [`app@${DIGEST}`, true],
  [`ghcr.io/acme/app:1@${DIGEST}`, true],
  [DIGEST, true],
  ['app:1', false],
  ['app@sha256:0123', false],
  // More than a digest may follow only as a part of another name.
  [`app@${DIGEST}0`, false],
  [`app@${DIGEST}:latest`, false],
  [`app@${DIGEST}/app`, false],
  [`app@${DIGEST}@sha256:0123`, false],
  [`app@${DIGEST}\n`, false],
  [`x${DIGEST}`, false],
  [`app@x${DIGEST}`, false],
  [`@${DIGEST}`, false],
  [`app@${DIGEST.slice(0, -1)}`, false],
  [`app@${DIGEST.toUpperCase()}`, false],
  // Docker also accepts an ID prefix, but another image may later match it.
  ['0123456789ab', false],
])('whether %s says its content: %s', (image, expected) => {
  expect(hasDigest(image)).toBe(expected);
});

test.each([
  ['redis', 'docker.io'],
  ['redis:7', 'docker.io'],
  ['acme/app', 'docker.io'],
  ['docker.io/acme/app', 'docker.io'],
  ['index.docker.io/acme/app', 'docker.io'],
  ['INDEX.docker.io/acme/app', 'docker.io'],
  ['registry-1.docker.io/acme/app', 'registry-1.docker.io'],
  ['HOST/app', 'host'],
  ['localhost/app', 'localhost'],
  ['localhost:5000/app:1', 'localhost:5000'],
  ['host/app', 'docker.io'],
  ['host:443/app', 'host:443'],
  ['ghcr.io/acme/app@sha256:00', 'ghcr.io'],
  ['Registry.Example.com/app', 'registry.example.com'],
  ['[::1]:5000/app', '[::1]:5000'],
])('the image %s comes from %s', (image, registry) => {
  expect(registryOf(image)).toBe(registry);
});

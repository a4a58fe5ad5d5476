import { expect, test } from 'vitest';
import { STRICT_POLICY, policyViolations } from './policy.ts';
import type { SecurityFields } from './policy.ts';

const plain: SecurityFields = { image: 'acme/app', capAdd: [] };
const weak: SecurityFields = {
  image: 'acme/app',
  capAdd: ['NET_BIND_SERVICE', 'SYS_ADMIN'],
  runtime: 'runsc',
  seccomp: 'unconfined',
  apparmor: 'unconfined',
  userns: 'host',
};

test('a template without special options conforms to the strictest policy', () => {
  expect(policyViolations(STRICT_POLICY, plain)).toEqual([]);
  expect(policyViolations(STRICT_POLICY, { ...plain, userns: 'remapped' })).toEqual([]);
});

test('every option that weakens the host and is not allowed is reported at once', () => {
  expect(policyViolations(STRICT_POLICY, weak).map(({ path }) => path)).toEqual([
    'capAdd.0',
    'capAdd.1',
    'runtime',
    'seccomp',
    'apparmor',
    'userns',
  ]);
  const allowed = {
    ...STRICT_POLICY,
    capabilities: ['NET_BIND_SERVICE'],
    runtimes: ['runsc', 'kata'],
    seccomp: ['unconfined'],
    apparmor: ['unconfined'],
    userns: ['host'],
  };
  expect(policyViolations(allowed, weak)).toEqual([
    { path: 'capAdd.1', detail: '"SYS_ADMIN" is not in allow.capabilities' },
  ]);
});

test('a policy can restrict images to patterns and require digests', () => {
  const policy = { ...STRICT_POLICY, images: ['acme/*'], requireDigest: true };
  const digest = `@sha256:${'ab'.repeat(32)}`;
  expect(policyViolations(policy, { ...plain, image: `acme/app${digest}` })).toEqual([]);
  expect(policyViolations(policy, { ...plain, image: `other/app${digest}` })).toEqual([
    { path: 'image', detail: `"other/app${digest}" matches no pattern of images.allow` },
  ]);
  expect(policyViolations(policy, { ...plain, image: 'other/app' })).toHaveLength(2);
});

test('an empty list of images allows none', () => {
  expect(policyViolations({ ...STRICT_POLICY, images: [] }, plain)).toHaveLength(1);
});

test('a profile must be allowed, and covers its own capabilities', () => {
  const template = { ...plain, profile: 'docker', capAdd: ['CHOWN', 'NET_RAW'] } as const;
  expect(policyViolations(STRICT_POLICY, template).map(({ path }) => path)).toEqual([
    'profile',
    'capAdd.1',
  ]);
  const allowed = { ...STRICT_POLICY, profiles: ['docker'] };
  expect(policyViolations(allowed, template)).toEqual([
    { path: 'capAdd.1', detail: '"NET_RAW" is not in allow.capabilities' },
  ]);
});

test('the strict policy permits nothing, and restricts no image', () => {
  expect(STRICT_POLICY).toEqual({
    ...{ profiles: [], capabilities: [], runtimes: [], seccomp: [], apparmor: [], userns: [] },
    ...{ images: undefined, requireDigest: false },
  });
});

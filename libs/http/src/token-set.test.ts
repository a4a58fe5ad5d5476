import * as crypto from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ConfigError } from '@ephemera/config';
import { createLogger } from '@ephemera/process';
import { parseTemplates } from '@ephemera/config';
import { bearerOf, createTokens, hashToken } from './token-set.ts';
import { watchConfig } from '@ephemera/config';

vi.mock('node:crypto', async (original) => {
  const actual = await original<typeof crypto>();
  return { ...actual, timingSafeEqual: vi.fn(actual.timingSafeEqual) };
});
const compare = vi.mocked(crypto.timingSafeEqual);

const TOKEN = 'eph_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const OTHER = 'eph_another';

const entries = {
  ci: { hash: [hashToken(TOKEN), hashToken(OTHER)], scopes: ['create' as const] },
};

test('a token is identified by its hash, also one of several under one name', () => {
  const tokens = createTokens('the-admin-of-all-of-this', () => entries);
  expect(tokens.identify(TOKEN)).toMatchObject({ name: 'ci', scopes: ['create'] });
  expect(tokens.identify(OTHER)).toMatchObject({ name: 'ci', scopes: ['create'] });
  expect(tokens.identify('the-admin-of-all-of-this')).toMatchObject({
    name: 'admin',
    scopes: ['admin'],
  });
});

test('every hash is compared in constant time, whether or not an earlier one matches', () => {
  const tokens = createTokens('the-admin-of-all-of-this', () => ({ ...entries, ...ADMINS }));
  for (const token of [TOKEN, OTHER, 'the-admin-of-all-of-this', 'wrong', '']) {
    compare.mockClear();
    tokens.identify(token);
    expect(compare).toHaveBeenCalledTimes(4);
  }
});

// Other lengths and cases, an empty token, and the public hash itself.
test.each([
  TOKEN.slice(0, -1),
  `${TOKEN}x`,
  TOKEN.toUpperCase(),
  `${TOKEN} `,
  `${TOKEN}\0`,
  '',
  hashToken(TOKEN),
  hashToken(TOKEN).slice(7),
])('%j is not a valid token', (wrong) => {
  expect(createTokens(undefined, () => ({ ...entries, ...ADMINS })).identify(wrong)).toBe(
    undefined,
  );
});

const ADMINS = { ops: { hash: [hashToken('x')], scopes: ['admin' as const] } };

test('a property of Object.prototype is not a token name', () => {
  const tokens = createTokens('the-admin-of-all-of-this', () => entries);
  for (const name of ['constructor', '__proto__', 'toString']) {
    expect(tokens.named(name)).toBe(undefined);
  }
});

test('a token of scope admin is required', () => {
  expect(() => createTokens(undefined, () => entries)).toThrow(ConfigError);
  expect(() => createTokens(undefined, () => entries)).toThrow('EPHEMERA_ADMIN_TOKEN');
  expect(createTokens(undefined, () => ADMINS).named('ops')).toEqual({
    name: 'ops',
    scopes: ['admin'],
  });
});

test('the token is parsed from Authorization', () => {
  expect(bearerOf('Bearer abc')).toBe('abc');
  expect(bearerOf('bearer  abc')).toBe('abc');
  for (const other of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer a b',
    'Basic abc',
    'abc',
    'x Bearer abc',
  ]) {
    expect(bearerOf(other)).toBe(undefined);
  }
});

const file = (tokens: string) =>
  `{ templates: { demo: { image: a, port: 80 } }, tokens: ${tokens} }`;
const issueOf = (tokens: string) => {
  try {
    parseTemplates(file(tokens));
    return undefined;
  } catch (error) {
    return error instanceof ConfigError ? error.faults[0] : error;
  }
};

test('a file with a token instead of its hash, or without a valid scope, is refused', () => {
  const hash = hashToken(TOKEN);
  expect(parseTemplates(file(`{ ci: { hash: '${hash}', scopes: [read] } }`)).tokens).toEqual({
    ci: { hash: [hash], scopes: ['read'] },
  });
  expect(issueOf(`{ ci: { hash: ${TOKEN}, scopes: [read] } }`)).toMatchObject({
    path: 'tokens.ci.hash',
  });
  expect(issueOf(`{ ci: { hash: '${hash}', scopes: [] } }`)).toMatchObject({
    path: 'tokens.ci.scopes',
  });
  expect(issueOf(`{ ci: { hash: '${hash}', scopes: [root] } }`)).toMatchObject({
    path: 'tokens.ci.scopes.0',
  });
  expect(issueOf(`{ admin: { hash: '${hash}', scopes: [read] } }`)).toMatchObject({
    detail: 'is the name of EPHEMERA_ADMIN_TOKEN',
  });
});

test('tokens are reloaded from their file, which may be absent or invalid', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ephemera-tokens-'));
  const path = join(folder, 'ephemera.yml');
  const watched = watchConfig(path, createLogger('test', 'silent'), (set) => set?.tokens ?? {});
  onTestFinished(async () => {
    watched.close();
    await rm(folder, { recursive: true });
  });
  expect(watched.current).toEqual({});
  await writeFile(path, file(`{ ci: { hash: '${hashToken(TOKEN)}', scopes: [read] } }`));
  process.emit('SIGHUP');
  expect(Object.keys(watched.current)).toEqual(['ci']);
  await writeFile(path, 'tokens: {ci: {}}');
  process.emit('SIGHUP');
  expect(Object.keys(watched.current)).toEqual(['ci']);
  await writeFile(path, file('{}'));
  await expect.poll(() => Object.keys(watched.current), { timeout: 30_000 }).toEqual([]);
});

test('a name with a fingerprint is that of one token only, in whatever order', () => {
  const tokens = createTokens('the-admin-of-all-of-this', () => entries);
  for (const token of [TOKEN, OTHER]) {
    const { fingerprint } = tokens.identify(token) ?? {};
    expect(fingerprint).toMatch(/^[0-9a-f]{16}$/);
    expect(tokens.named('ci', fingerprint)).toEqual({ name: 'ci', scopes: ['create'] });
    // It is no fingerprint of another name.
    expect(tokens.named('admin', fingerprint)).toBeUndefined();
  }
  expect(tokens.identify(TOKEN)?.fingerprint).not.toBe(tokens.identify(OTHER)?.fingerprint);
  for (const none of ['', '0'.repeat(16), hashToken(TOKEN)]) {
    expect(tokens.named('ci', none), none).toBeUndefined();
  }
});
